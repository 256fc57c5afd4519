"""Reports of every format with a patient planted in their headers and one part replaced: what text do they yield?

python tests/support/changed_reports.py SEED COUNT prints what came out of it as JSON.
"""

import io
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pydicom
from lxml import etree
from pydicom.dataset import Dataset
from support.report_files import (
    BASIC_TEXT,
    COMPREHENSIVE,
    FAMILY,
    GIVEN,
    attachment,
    bundle,
    cda,
    coded,
    content,
    fhir,
    hl7,
    observed,
    patient,
    section,
    structured_report,
)

from mcmfh.archive.limits import DecodeError
from mcmfh.archive.reports import read_report

NAME = f"{GIVEN} {FAMILY}"
TEXT = "No focal consolidation. The heart is not enlarged. There is no pleural effusion."
_WORDS = ["", " ", "0", "-1", "null", "final", "entered-in-error", "TX", "FT", "ED", "ST", "XX", "F", "P", "X"]
_WORDS += ["\\X41\\", "text", "UNICODE UTF-8", "8859/1", "\\.br\\", "~", "^", "&", "urn:x"]
_WORDS += ["DiagnosticReport", "Patient", "18748-4"]
_CODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]


def hl7_file(rng: random.Random) -> bytes:
    """An HL7 v2 message; one field, one segment, a separator, the line ends or the encoding are changed."""
    results = [observed(TEXT, rng.choice(["TX", "FT", "ST"])), "CE|A^B||1^two", observed("The lungs are clear.")]
    segments = hl7(*results).decode().split("\r")
    name = f"{FAMILY.upper()}^{GIVEN.upper()}"
    segments[2:2] = [f"NK1|1|{name}|SPO", f"GT1|1||{name}", f"IN1|1|A|B|C||||||||||||{name}", f"NTE|1||Called {name}."]
    where = rng.randrange(len(segments))
    fields = segments[where].split("|")
    kind = rng.randrange(8)
    if kind == 0:
        del segments[where]
    elif kind == 1:
        segments[where] = rng.choice(["ZZZ", "PID", "OBX", "NTE", "obx", "MSH", ""]) + segments[where][3:]
    elif kind == 2:
        segments.insert(rng.randrange(len(segments)), segments.pop(where))
    elif kind <= 5:
        fields[rng.randrange(len(fields))] = rng.choice(_WORDS)
        segments[where] = "|".join(fields)
    elif kind == 6:
        del fields[rng.randrange(len(fields))]
        segments[where] = "|".join(fields)
    text = rng.choice(["\r", "\r", "\n", "\r\n", "\n\n", "\\r", ""]).join(segments)
    if rng.random() < 0.2:
        text = text.replace("|", rng.choice("#!;\t^"))
    text = rng.choice(["", "", "", "\x0b", "FHS|^~\\&|A\rBHS|^~\\&|A\r", " \n", "Message:\n", "\ufeff"]) + text
    return text.encode(rng.choice(_CODINGS[: 1 + 6 * (rng.random() < 0.3)]), "replace")


def fhir_file(rng: random.Random) -> bytes:
    """A FHIR resource, Bundle or ndjson; one value is replaced, removed or renamed, or the encoding is another."""
    narrative = {"status": "generated", "div": f"<div><p>Patient: {NAME}</p></div>"}
    report = fhir(
        subject={"reference": "Patient/p", "display": NAME},
        performer=[{"display": NAME}],
        resultsInterpreter=[{"display": NAME}],
        text=narrative,
        contained=[patient(text=narrative)],
        result=[{"reference": "#o", "display": NAME}, {"reference": "Observation/x"}],
    )
    report |= rng.choice(
        [{"conclusion": TEXT}, {"presentedForm": [attachment(f"<p>{TEXT}</p>", "text/html")]}, {"conclusion": ""}]
    )
    observation: dict[str, Any] = {
        "resourceType": "Observation",
        "id": "x",
        "status": "final",
        "valueString": TEXT,
        "text": narrative,
    }
    note: dict[str, Any] = {"subject": {"display": NAME}, "note": [{"authorString": NAME, "text": TEXT}]}
    observation |= note
    whole: list[Any] = [report, observation, patient()]
    document = rng.choice([report, json.loads(bundle(*whole)), whole])
    _change(document, rng)
    if isinstance(document, list):
        text = rng.choice(["\n", "\r\n", ",", ""]).join(json.dumps(one) for one in document)
    else:
        text = json.dumps(document, indent=rng.choice([None, 2]), ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.1:
        text = text[: rng.randrange(len(text))]
    return text.encode(rng.choice(_CODINGS[: 1 + 6 * (rng.random() < 0.3)]), "replace")


def _change(value: Any, rng: random.Random) -> None:
    """Replace, remove or rename one value somewhere below `value`."""
    places: list[tuple[Any, Any]] = []

    def collect(inner: Any) -> None:
        for key in list(inner) if isinstance(inner, dict) else range(len(inner)):
            places.append((inner, key))
            if isinstance(inner[key], dict | list):
                collect(inner[key])

    collect(value)
    holder, key = rng.choice(places)
    new: Any = rng.choice([None, "", 0, 1.5, True, [], {}, [[]], [None], *_WORDS, {"resourceType": "Patient"}])
    if rng.random() < 0.25:
        old = holder.pop(key)
        if isinstance(holder, dict) and rng.random() < 0.5:
            holder[rng.choice(["text", "conclusion", "title", "x", "resourceType", "valueString"])] = (
                old if not isinstance(old, str) or FAMILY not in old else "x"
            )
    else:
        holder[key] = new


def cda_file(rng: random.Random) -> bytes:
    """A CDA document; one element or attribute is removed, renamed or replaced, or the encoding is another."""
    head = f"<author><assignedAuthor><assignedPerson><name>{NAME}</name></assignedPerson></assignedAuthor></author>"
    document = cda(section(f"<paragraph>{TEXT}</paragraph>"), head=head)
    root = etree.fromstring(document)
    element = rng.choice([one for one in root.iter() if isinstance(one.tag, str)])
    kind = rng.randrange(5)
    if kind == 0 and element is not root:
        element.getparent().remove(element)
    elif kind == 1:
        element.tag = rng.choice(["text", "section", "title", "{urn:x}y", "ClinicalDocument", "div", "html", "Bundle"])
    elif kind == 2:
        element.set(rng.choice(["code", "nullFlavor", "representation", "mediaType"]), rng.choice(_WORDS))
    elif kind == 3:
        element.attrib.clear()
    else:
        element.text = rng.choice([word for word in _WORDS if "\\" not in word])
    text = etree.tostring(root, encoding="unicode")
    if rng.random() < 0.3:
        text = rng.choice([f'<?xml version="1.0"?>{text}', f"\n{text}", text.replace(' xmlns="urn:hl7-org:v3"', "")])
    if rng.random() < 0.1:
        text = text[: rng.randrange(len(text))]
    coding: str = rng.choice(_CODINGS[: 1 + 6 * (rng.random() < 0.3)])
    return str(text).encode(coding, "replace")


def sr_file(rng: random.Random) -> bytes:
    """A DICOM SR; one attribute somewhere in it is removed or has another value."""
    items = [
        content("TEXT", "Finding", TEXT),
        content("PNAME", "Person Observer Name", f"{FAMILY}^{GIVEN}", "HAS OBS CONTEXT", "121008"),
        content("PNAME", "Subject Name", f"{FAMILY}^{GIVEN}", "HAS OBS CONTEXT", "121029"),
        content("TEXT", "Impression", "The lungs are clear."),
    ]
    title = coded("Radiology Report", rng.choice(["18748-4", "11528-7", "126000"]), "LN")
    data = structured_report(items, rng.choice([BASIC_TEXT, COMPREHENSIVE]), title, ReferringPhysicianName=FAMILY)
    dataset = pydicom.dcmread(io.BytesIO(data))
    holders: list[Dataset] = [dataset]
    for one in holders:
        holders += [inner for element in one if element.VR == "SQ" for inner in element.value]
    holder = rng.choice(holders)
    element = rng.choice(list(holder))
    if rng.random() < 0.3 or element.VR == "SQ":
        del holder[element.tag]
    else:
        kinds = ["TEXT", "PNAME", "CODE", "CONTAINER", "CONTAINS", "HAS OBS CONTEXT", "121008", "1.2.3", BASIC_TEXT]
        holder.add_new(element.tag, element.VR, rng.choice([*kinds, "", "ISO_IR 192", "\\ISO 2022 IR 87"]))
    sink = io.BytesIO()
    try:
        pydicom.dcmwrite(sink, dataset, enforce_file_format=False)
    except Exception:
        return data
    return sink.getvalue()


Maker = Callable[[random.Random], bytes]
MAKERS: dict[str, Maker] = {"hl7": hl7_file, "fhir": fhir_file, "cda": cda_file, "sr": sr_file}


def changed_reports(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """`count` reports with the name of their format, the same for the same seed."""
    rng = random.Random(seed)
    for number in range(count):
        kind = list(MAKERS)[number % len(MAKERS)]
        yield kind, MAKERS[kind](rng)


def outcomes(seed: int, count: int) -> dict[str, Any]:
    """Texts and reasons with their counts, and the faults: (number, format, what was wrong)."""
    found: Counter[str] = Counter()
    faults: list[tuple[int, str, str]] = []
    for number, (kind, data) in enumerate(changed_reports(seed, count)):
        try:
            text = read_report(data)
        except DecodeError as error:
            found[f"{kind}: {error}"] += 1
        except BaseException as error:
            faults.append((number, kind, repr(error)))
        else:
            found[f"{kind}: text"] += 1
            if FAMILY.lower() in text.lower() or GIVEN.lower() in text.lower():
                faults.append((number, kind, text[:200]))
    return {"found": dict(found.most_common()), "faults": faults}


if __name__ == "__main__":
    print(json.dumps(outcomes(int(sys.argv[1]), int(sys.argv[2])), indent=1))

"""Words the reports by a small grammar, so that the same finding is described in many ways.

`[a|b|]` is a choice, `{slot}` is filled in; choices may be nested. A report names every finding of its study and, as
radiologists do, negates some absent ones.
"""

import datetime
import re
from collections.abc import Mapping

import numpy as np

from mcmfh.phantom.anatomy import Finding
from mcmfh.phantom.studies import Exam, Study
from mcmfh.phantom.vocabulary import INDICATION, WORDS

_SIZE = {
    "small": "[small|tiny|minor|subtle|discrete|little|slight]",
    "large": "[large|extensive|marked|sizeable|substantial|pronounced|considerable]",
    "": "",
}
_MANY = "[multiple|several|numerous|a number of|a few|at least three]"
_PRESENT = (
    "[There is|Note is made of|We see|One sees|The images show|There is evidence of|Noted is] a {size} {noun} {where}.",
    "[A|] {size} {noun} {where}[| is seen| is present| is noted| is demonstrated].",
    "[The study shows|Demonstrated is|This examination reveals] a {size} {noun} {where}.",
    "{Where}[,|] [there is|one finds|we find|lies] a {size} {noun}.",
    "[Findings|Appearances|Features] [are in keeping with|are consistent with|suggest] a {size} {noun} {where}.",
    "[Probable|Likely|Suspected|Presumed] {size} {noun} {where}.",
    "{Noun} {where}, {size}.",
)
_PRESENT_MANY = (
    "[There are|Note is made of|We see|One sees|The images show] {many} {size} {nouns} {where}.",
    "{many} {size} {nouns} {where}[| are seen| are present| are noted].",
    "{Where}[,|] [there are|one finds|we find] {many} {size} {nouns}.",
    "[Findings|Appearances] [are in keeping with|suggest] {many} {size} {nouns} {where}.",
)
_ABSENT = (
    "No {noun}.",
    "No [evidence|sign|indication] of [a |]{noun}.",
    "No {noun}[| or {other}] [is seen|is identified|can be made out|visible].",
    "[There is no|Absence of] {noun}[| and no {other}].",
    "{Noun} [is not seen|is not demonstrated|can be excluded].",
)
_UNCOUNTED = "ascites|free|cardiomegaly|increase|hydrocephalus|osteoarthritis|degenerative|joint space|consolidation"
_NORMAL = (
    "[Normal|Unremarkable] {exam}.",
    "[No abnormality|No pathological finding|Nothing abnormal] [is |]detected[| in this examination].",
    "[Findings are|The examination is] within normal limits.",
    "[Age-appropriate|Regular] appearances [throughout|of the {region}].",
)


def write_report(study: Study, rng: np.random.Generator) -> str:
    """The report of a study: it names every finding, negates some absent ones and varies its headings."""
    exam, parts = study.exam, []
    modern = rng.random() < 0.25 + 0.5 * study.era  # structured reporting becomes more common over the years
    if rng.random() < 0.5:
        parts.append(f"[Indication|Clinical details|History]: {INDICATION[exam.region]}.")
    if modern or rng.random() < 0.3:
        parts.append(
            f"[Technique|Examination]: {exam.name}."
            if modern
            else f"[This {exam.name}|{exam.name}] [of|dated] {_day(study.date)}."
        )
    if study.earlier:
        parts.append(f"[Compared with|Comparison:|In comparison to] [the examination of|] {_day(study.earlier)}.")
    elif rng.random() < 0.15:
        parts.append("No [previous|prior] [study|images] for comparison.")
    present = [_sentence(finding, exam, rng) for finding in study.findings]
    if not present:
        present = [_fill(str(rng.choice(_NORMAL)), {"exam": exam.name, "region": exam.region})]
    absent = [kind.name for kind in exam.kinds if kind.name not in {finding.name for finding in study.findings}]
    negated = [_negation(absent, exam, rng) for _ in range(int(rng.choice([0, 1, 2], p=[0.35, 0.45, 0.2]))) if absent]
    body = [*present, *dict.fromkeys(negated)] if rng.random() < 0.7 else [*dict.fromkeys(negated), *present]
    parts.append(("[Findings|Report]: " if modern else "") + " ".join(body))
    if rng.random() < (0.6 if modern else 0.3):
        summary = (
            ", ".join(_short(finding, exam) for finding in study.findings) or "[no acute abnormality|normal study]"
        )
        parts.append(f"[Impression|Conclusion|Opinion]: {summary}.")
    return _choose(" ".join(parts), rng)


def _key(name: str, exam: Exam) -> str:
    return next(key for key in (f"{exam.region} {name}", f"{exam.modality} {name}", name) if key in WORDS)


def _sentence(finding: Finding, exam: Exam, rng: np.random.Generator) -> str:
    nouns, where, more = WORDS[_key(finding.name, exam)]
    many = finding.count > 1
    noun, plural = nouns[int(rng.integers(len(nouns)))]
    pattern = str(rng.choice(_PRESENT_MANY if many else _PRESENT))
    slots = {"noun": noun, "nouns": plural, "where": where, "size": _SIZE[finding.size], "many": _MANY}
    return _fill(_fill(f"{pattern} {more}", slots), {"side": finding.side})


def _negation(absent: list[str], exam: Exam, rng: np.random.Generator) -> str:
    first, second = (WORDS[_key(str(name), exam)][0][0][0] for name in rng.choice(absent, 2))
    return _fill(str(rng.choice(_ABSENT)), {"noun": first, "other": second if second != first else "other abnormality"})


def _short(finding: Finding, exam: Exam) -> str:
    nouns = WORDS[_key(finding.name, exam)][0]
    words = [_MANY if finding.count > 1 else "", _SIZE[finding.size], finding.side]
    choice = "|".join(plural if finding.count > 1 else noun for noun, plural in nouns)
    return " ".join([word for word in words if word] + [f"[{choice}]"])


def _fill(pattern: str, slots: Mapping[str, str]) -> str:
    """Replace `{name}` by its slot and `{Name}` by ^ and its slot; `_choose` turns ^ into a capital letter."""
    return re.sub(
        r"\{(\w+)\}",
        lambda match: (
            slots[match[1]]
            if match[1] in slots
            else f"^{slots[match[1].lower()]}"
            if match[1].lower() in slots
            else match[0]
        ),
        pattern,
    )


def _choose(text: str, rng: np.random.Generator) -> str:
    while "[" in text:
        text = re.sub(r"\[([^\[\]]*)\]", lambda match: str(rng.choice(match[1].split("|"))), text)
    text = re.sub(r"\s+", " ", text).replace(" .", ".").replace(" ,", ",").replace(",.", ".").strip()
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    text = re.sub(rf"\b[Aa]n? (?=({_UNCOUNTED}))", "", text)
    return re.sub(r"(^|[.:] |\^)\^?([a-z])", lambda match: match[1].replace("^", "") + match[2].upper(), text).replace(
        "^", ""
    )


def _day(date: datetime.date) -> str:
    return f"{date:%d.%m.%Y}"

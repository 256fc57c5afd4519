"""HL7 version 2 → reports: the OBX segments of ORU messages, by python-hl7. Other messages are refused.

Text stands in OBX-5 of type FT, TX, ST, CWE, CE, CF or ED; its escape sequences are those of chapter 2.7. The status is
that of the result (OBX-11, table 0085) and of the order (OBR-25, table 0123).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import hl7

from mcmfh.archive.limits import DecodeError, NoReport
from mcmfh.archive.report_formats import html, rtf
from mcmfh.archive.report_formats.attachments import attached_text, from_base64
from mcmfh.archive.report_formats.characters import decode
from mcmfh.archive.report_formats.identity import Identity, identity
from mcmfh.archive.report_formats.parsed import ParsedReport, Status, cleaned

_TEXTS, _CODES, _DATA = ("FT", "TX", "ST", ""), ("CWE", "CE", "CF", "CNE"), ("ED",)
_RESULT = {
    "P": 1,
    "R": 1,
    "S": 1,
    "B": 1,
    "F": 2,
    "U": 2,
    "V": 2,
    "": 2,
    "C": 3,
    "A": 3,
}  # of OBX-11; others are no result
_ORDER = {"P": 1, "R": 1, "S": 1, "A": 1, "F": 2, "": 2, "C": 3, "M": 3}  # of OBR-25
_CANCELLED = ("X", "D")
# Table 0211, as Python calls them.
_CHARACTER_SETS = {
    "ASCII": "ascii",
    "UNICODE UTF-8": "utf-8",
    "UNICODE UTF-16": "utf-16",
    "UNICODE": "utf-8",
    "UTF-8": "utf-8",
    "ISO IR87": "iso2022_jp",
    "ISO IR14": "shift_jis",
    "ISO IR159": "iso2022_jp_1",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    **{f"8859/{part}": f"iso8859-{part}" for part in (*range(1, 12), 13, 14, 15, 16)},
}
_START = re.compile(r"\A[\s\x0b\ufeff]*(?:MSH|FHS|BHS)[^\w\s]")
_MESSAGE = re.compile(r"^MSH[^\w\s]", re.M)
_BREAK = re.compile(r"^\.(?:br|sp|ce)([+-]?\d*)$", re.I)
_BYTES = re.compile(r"^X(?:[0-9A-Fa-f]{2})+$")
_UID = re.compile(r"^[0-2](?:\.\d+){3,}$")


@dataclass
class _Group:
    """An order (OBR) with its results, as (status, text)."""

    order: hl7.Segment | None
    results: list[tuple[int, str]] = field(default_factory=list)


def recognises(text: str) -> bool:
    """Whether `text` begins as an HL7 message or as a batch of them."""
    return bool(_START.match(text))


def declared_charset(data: bytes) -> str | None:
    """Python's name of the character set in MSH-18."""
    header = data[:2000].lstrip(b"\x0b\r\n \xef\xbb\xbf")
    start = header.find(b"MSH")
    fields = re.split(rb"[\r\n]", header[start:])[0].split(header[start + 3 : start + 4] or b"|") if start >= 0 else []
    first = fields[17].split(b"~")[0].decode("ascii", "replace").strip().upper() if len(fields) > 17 else ""
    return _CHARACTER_SETS.get(first)


def messages(text: str) -> list[str]:
    """The messages of a file, each with its segments apart by carriage returns."""
    text = re.sub(r"[\x0b\x1c]", "\n", text.replace("\r\n", "\n").replace("\r", "\n"))
    starts = [match.start() for match in _MESSAGE.finditer(text)]
    pieces = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)])]
    return ["\r".join(line for line in piece.split("\n") if line.strip()) for piece in pieces]


def parse(text: str) -> list[ParsedReport]:
    """The report of every ORU message in `text`. Raises DecodeError with the reason where there is none."""
    reports: list[ParsedReport] = []
    refused: list[DecodeError] = []
    for number, message in enumerate(messages(text)):
        try:
            reports += _reports(message, number)
        except DecodeError as error:
            refused.append(error)
    if not reports:
        raise refused[0] if refused else DecodeError("HL7 message cannot be read")
    return reports


def _reports(text: str, number: int) -> list[ParsedReport]:
    try:
        message = hl7.parse(text)
    except Exception:  # a parser of hostile text may raise anything
        raise DecodeError("HL7 message cannot be read") from None
    header = message[0]
    kind = re.split(r"\W", _field(header, 9).strip().upper())[0]
    if kind != "ORU":
        raise NoReport("HL7 message is no observation result (ORU)")
    separators = list(message.separators)
    groups, refused = _groups(message, separators)
    reports = [_report(group, message, number) for group in groups if any(said.strip() for _, said in group.results)]
    if not reports:
        raise refused or DecodeError("empty report")
    return [cleaned(report, _patient(message)) for report in reports]


def _groups(message: hl7.Message, separators: Sequence[str]) -> tuple[list[_Group], DecodeError | None]:
    """(orders with their results, reason why some had none)."""
    groups, cancelled = [_Group(None)], False
    refused: DecodeError | None = None
    for segment in message:
        name = str(segment[0]).strip().upper()
        if name == "OBR":
            cancelled = _field(segment, 25).strip().upper() in _CANCELLED
            refused = NoReport("report was cancelled") if cancelled else refused
            groups.append(_Group(segment))
        elif name == "OBX" and not cancelled:
            status = _RESULT.get(_field(segment, 11).strip().upper()[:1])
            if status is None:
                refused = refused or NoReport("report was cancelled")
                continue
            try:
                groups[-1].results.append((status, _observed(segment, message.esc, separators)))
            except DecodeError as error:
                refused = refused or error
    return groups, refused


def _report(group: _Group, message: hl7.Message, number: int) -> ParsedReport:
    """Of the results of an order the preliminary ones count only where there is no other."""
    best = max(status for status, said in group.results if said.strip())
    standing = [said for status, said in group.results if status > Status.PRELIMINARY or best == Status.PRELIMINARY]
    order = group.order
    ordered = _ORDER.get(_field(order, 25).strip().upper()[:1], 2) if order is not None else 2
    status = Status.PRELIMINARY if min(best, ordered) == 1 else Status(max(best, ordered))
    placer, filler = (_component(_field(order, place), message) if order is not None else "" for place in (2, 3))
    accession = _component(_field(order, 18), message) if order is not None else ""
    return ParsedReport(
        _of_markup("\n".join(standing)),
        status,
        study=_study_uid(message),
        accession=accession or filler or placer,
        patient=_component(_field_of(message, "PID", 3), message),
        name=filler or placer,
        issued=(_field(order, 22) if order is not None else "") or _field(message[0], 7),
        delivery=number,
    )


def _observed(segment: hl7.Segment, escape: str, separators: Sequence[str]) -> str:
    """The text in OBX-5; "" of a type that holds none."""
    kind, value = _field(segment, 2).strip().upper(), _field(segment, 5)
    repeat, component = separators[2:4]
    if kind in _TEXTS:
        # A text that was not escaped may hold separators: all of the field is text.
        return "\n".join(_unescape(part, escape, separators) for part in value.split(repeat))
    if kind in _CODES:
        said = [part.split(component) for part in value.split(repeat)]
        words = [next(filter(None, [*one[8:9], *one[1:2], *one[4:5], *one[:1]]), "") for one in said]
        return "\n".join(_unescape(word, escape, separators) for word in words)
    if kind in _DATA and value:
        parts = [*value.split(component), "", "", "", ""][:5] if component in value else ["", "", "", "", value]
        encoding, data = parts[3].strip().lower(), parts[4]
        if encoding in ("base64", "b64"):
            return attached_text(from_base64(_unescape(data, escape, separators)))
        if encoding == "hex" and re.fullmatch(r"(?:[0-9A-Fa-f]{2}\s*)*", data):
            return attached_text(bytes.fromhex(data))
        return attached_text(_unescape(data, escape, separators).encode(), "utf-8")
    return ""


def _of_markup(text: str) -> str:
    """The text of RTF or HTML, in one field or with a line in each; other text as it is."""
    if rtf.recognises(text):
        return rtf.parse(text)
    return html.parse(text) if html.recognises(text) else text


def _unescape(text: str, escape: str, separators: Sequence[str]) -> str:
    """`text` with its escape sequences replaced (chapter 2.7); those of another kind leave nothing."""
    if escape not in text:
        return text
    _, whole, repeat, component, sub = separators[:5]
    plain = {"F": whole, "S": component, "R": repeat, "T": sub, "E": escape, "P": "#"}

    def replaced(match: re.Match[str]) -> str:
        code = match[1]
        if code in plain:
            return plain[code]
        if lines := _BREAK.match(code):
            return "\n" * min(max(int(lines[1] or 1), 1), 20)
        if code.lower().startswith((".in", ".ti", ".sk")):
            return " "
        return decode(bytes.fromhex(code[1:])) if _BYTES.match(code) else ""

    between = re.escape(escape)
    return re.sub(rf"{between}((?:[FSRTEHNP]|\.\w{{2}}[+-]?\d*|[XCMZ]\w*)){between}", replaced, text)


def _patient(message: hl7.Message) -> Identity:
    names = [_field_of(message, name, place) for name, place in (("PID", 5), ("PID", 9), ("PID", 6))]
    numbers = [_field_of(message, "PID", place) for place in (2, 3, 4, 18, 19)]
    repeat, component = list(message.separators)[2:4]
    return identity(
        [component.join(one.split(component)[:3]) for name in names for one in name.split(repeat)],
        [one.split(component)[0] for number in numbers for one in number.split(repeat)],
        [_field_of(message, "PID", 7)],
    )


def _study_uid(message: hl7.Message) -> str:
    """StudyInstanceUID of a ZDS segment (IHE) or of an OBX that holds nothing else."""
    for segment in message:
        name = str(segment[0]).strip().upper()
        value = _component(_field(segment, 1 if name == "ZDS" else 5), message) if name in ("ZDS", "OBX") else ""
        if _UID.match(value) and (
            name == "ZDS" or "113014" in _field(segment, 3) or "UID" in _field(segment, 3).upper()
        ):
            return value
    return ""


def _field(segment: hl7.Segment, place: int) -> str:
    """Field `place` as it was sent; "" where the segment is shorter."""
    return str(segment[place]) if len(segment) > place else ""


def _field_of(message: hl7.Message, name: str, place: int) -> str:
    return next((_field(segment, place) for segment in message if str(segment[0]).strip().upper() == name), "")


def _component(value: str, message: hl7.Message) -> str:
    component, sub = list(message.separators)[3:5]
    return value.split(component)[0].split(sub)[0].strip()

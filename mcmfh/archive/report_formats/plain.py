"""Plain text: what a person wrote in sentences. Tables, dumps and messages of other formats are refused.

The rules are loose, for a report may be two words in any language; what they refuse is text made by a machine.
"""

import re

from mcmfh.archive.limits import NoReport, NotProse
from mcmfh.archive.report_formats.parsed import ParsedReport

_LEAST_LETTERS = 0.3  # of the characters that are not blank; tables of numbers have fewer
_LONGEST_WORD = 58  # letters; lines of base64 have 60 and more
_FEW = 40  # characters; a shorter text may be anything
_STAMP = r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*\s+\[?(?:TRACE|DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL)\b"
# (reason, pattern that gives the text away); each is looked for in the first characters. No two repetitions of a
# pattern match the same white space, or a text of blanks would take quadratic time.
_HEAD = 20_000
_MACHINE_MADE = (
    ("text is part of an HL7 message", re.compile(r"\^~\\&|^(?:MSH|PID|PV1|OBR|OBX|ORC|EVN|NTE|FHS|BHS)\|.*\|", re.M)),
    ("text is a dump of a DICOM header", re.compile(r"^[^\w\n]*\(?[0-9A-Fa-f]{4},\s?[0-9A-Fa-f]{4}\)?\s+\S", re.M)),
    ("text is a vCard or a calendar", re.compile(r"^[^\S\n]*BEGIN:V[A-Z]+", re.M)),
    ("text is an e-mail", re.compile(r"^(?:From|Received|Return-Path|MIME-Version): .*$", re.M)),
    ("text is an EDI message", re.compile(r"\A\s*(?:UNA.{6}|UNB\+|ISA\*)")),
    ("text is a laboratory's message (ASTM)", re.compile(r"\A\s*\d?H\|[\\^&~@]{2,5}")),
    ("text is a program", re.compile(r"\A\s*(?:#!|<\?php|%!PS|\\documentclass|\{\s*'[^'\n]*'\s*:)")),
    ("text is a program", re.compile(r"^[^\S\n]*(?i:insert into \S+|create table \S+|update \S+ set) ", re.M)),
    ("text is a log", re.compile(rf"\A\s*{_STAMP}.*\n{_STAMP}")),
    ("text is an encoded file", re.compile(r"\Abegin(?:-base64)? [0-7]{3} \S+\n")),
    ("text is a list of settings", re.compile(r"\A\s*[\w.-]{1,40}=[^&\s]{0,200}(?:&[\w.-]{1,40}=[^&\s]{0,200}){2,}")),
    ("text is a list of settings", re.compile(r"\A\s*\[[^\]\n]+\][^\S\n]*\n\s*[\w.-][\w .-]*=")),
)
# A segment of HL7 v2, wherever it begins and whatever separates its fields.
_SEGMENT = re.compile(
    r"(?:MSH|PID|PD1|PV1|OBR|OBX|ORC|EVN|NTE|NK1|GT1|IN1|AL1|DG1|MSA|TXA|FHS|BHS)([|!#;^$%*~\t])([^\n\r]*)"
)
_JSON_KEY = re.compile(r"\"[\w.@$-]+\"\s{0,9}:")
_FEW_KEYS = 3  # a person may quote as many
_JSON = re.compile(r"\A\s*(?:\{\s*(?:\"[^\"\n]*\"\s*:|\})|\[\s*[\[{\"\]])")
_SETTING = re.compile(r"[^\S\n]*(?:- )?([a-z_][\w.-]*)[^\S\n]*[:=](?:[^\S\n]*|[^\S\n].*|\S.*)\Z")
_WHOSE = re.compile(r"(?:\A|[._-])(?:id|uid|mrn|pid|dob|born|birth\w*|sex|gender|patient\w*|name|surname)(?:\Z|[._-])")
_SAYS = re.compile(r"finding|impression|conclusion|report|technique|history|indication|befund|beurteilung")
_NAME = re.compile(r"[^\W\d][\w.-]*(?: \w+)?\Z")  # of a column
_BASE64 = re.compile(r"\A[A-Za-z0-9+/=\s]+\Z")


def parse(text: str) -> ParsedReport:
    """`text` as a report. Raises NoReport where it is no prose."""
    if _JSON.match(text):
        raise NoReport("JSON holds no FHIR DiagnosticReport")
    if text.lstrip().startswith("<") and re.match(r"\s*<[?!A-Za-z][^<>]*>", text):
        raise NoReport("XML holds no report")
    head = text[:_HEAD]
    for reason, pattern in _MACHINE_MADE:
        if pattern.search(head):
            raise NoReport(reason)
    if any(match[2].count(match[1]) >= 2 for match in _SEGMENT.finditer(head)):
        raise NoReport("text is part of an HL7 message")
    if len(_JSON_KEY.findall(head)) > _FEW_KEYS:
        raise NoReport("JSON holds no FHIR DiagnosticReport")
    dense = "".join(head.split())
    if len(dense) > _FEW:
        letters = sum(map(str.isalpha, dense)) / len(dense)
        if letters < _LEAST_LETTERS or (_BASE64.match(head) and len(max(head.split(), key=len)) > _LONGEST_WORD):
            raise NotProse("text does not look like prose")
    _refuse_settings(head)
    _refuse_tables(head)
    return ParsedReport(text)


def _refuse_settings(text: str) -> None:
    """Lines that all give a value to a key, some of which say who somebody is and none what was seen, are no report."""
    lines = [line for line in text.splitlines() if line.strip()]
    keys = [match[1].lower() if (match := _SETTING.match(line)) else "" for line in lines]
    if len(keys) > 2 and all(keys) and any(map(_WHOSE.search, keys)) and not any(map(_SAYS.search, keys)):
        raise NoReport("text is a list of settings")


def _refuse_tables(text: str) -> None:
    """Lines that all have the same, large number of cells are a table."""
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    for delimiter in "\t;|,":
        cells = {line.count(delimiter) for line in lines[:-1]}
        if len(lines) > 3 and len(cells) == 1 and cells.pop() >= 3:
            raise NotProse("text is a table")
        head = [cell.strip(" \"'").lower() for cell in lines[0].split(delimiter)] if lines else []
        equal = len({line.count(delimiter) for line in lines[:3]}) == 1
        if len(lines) > 1 and len(head) > 1 and equal and _says_whose(head):
            raise NotProse("text is a table")


def _says_whose(head: list[str]) -> bool:
    """Whether cells that may be names of columns say who somebody is."""
    return all(map(_NAME.match, head)) and any(_WHOSE.search(cell.replace(" ", "_")) for cell in head)

"""Texts made by machines, each of which names somebody: none becomes a report. Reports that look a little alike do."""

import base64

import pytest

from mcmfh.archive.limits import DecodeError
from mcmfh.archive.reports import read_report

REFUSED = {
    "text is a laboratory's message (ASTM)": [
        "H|\\^&|||LIS\rP|1||77||Doe^Jane||1933\rR|1|^^^GLU|5\rL|1|N",
        "H|~^\\&|A\rP|1\rOBX|1|TX|x||Doe|",
    ],
    "text is a program": [
        "INSERT INTO patients VALUES (1, 'Doe', 'Jane');\nINSERT INTO patients VALUES (2, 'Roe', 'Jim');",
        "-- dump\nCREATE TABLE patients (name text);\ninsert into patients values ('Doe');",
        "UPDATE patients SET name = 'Doe' WHERE id = 1;",
        "{'patient': 'Doe', 'mrn': 5}",
        "\\documentclass{letter}\\begin{document}Jane Doe\\end{document}",
        "#!/bin/sh\nexport PATIENT=Doe",
    ],
    "text is a log": [
        "2020-01-01 12:00:00 INFO Patient Doe loaded\n2020-01-01 12:00:01 WARN Doe has no image",
        "[2020-01-01T12:00:00.123Z] ERROR Doe\n[2020-01-01T12:00:00.124Z] ERROR Roe",
    ],
    "text is a table": [
        "id,patient,report\n1,Doe,clear\n2,Roe,clear\n3,Moe,clear",
        "patient name;report\nDoe;clear",
        "mrn|name|finding\n7|Doe|clear\n8|Roe|clear",
    ],
    "text is an encoded file": ["begin 644 doe.txt\n#0V%T\n`\nend"],
    "text is a list of settings": [
        "name=Doe&mrn=7&report=clear",
        "patient: Doe\nid: 7\nborn: 1933\nsex: F",
        "- patient_name: Doe, Jane\n- patient_id: 7\n- modality: CR",
        "patient.name=Doe Jane\npatient.id=7\nstudy.date=2020",
        "study_uid: 1.2.3\nfile: doe.dcm\nrows: 512",
        "[patient]\nname=Doe\nid=7",
    ],
    "text does not look like prose": [base64.b64encode(b"The picture of Jane Doe shows no effusion at all.").decode()],
    "character set cannot be recognised": [
        "胸水なし。正常です。".encode("shift_jis"),
        "胸腔积液，左侧。".encode("gbk"),
        "Жидкости в плевральной полости нет.".encode("cp1251"),
        "Υπεζωκοτική συλλογή αριστερά".encode("iso8859-7"),
    ],
    "XML holds no report": ["<soap:Envelope xmlns:soap='x'><soap:Body>Doe</soap:Body></soap:Envelope>"],
    "JSON holds no FHIR DiagnosticReport": ['{"name": "Doe"}\n{"name": "Roe"}', '{"00100010": {"vr": "PN"}}'],
    "text is part of an HL7 message": ["Report:\nMSH|^~\\&|A|B\nPID|1||77||Doe^J"],
}
REPORTS = {
    "findings: no effusion\nimpression: normal\nid: 7": "findings: no effusion impression: normal id: 7",
    "Befund: Erguß\nName: siehe oben\nid: 7": "Befund: Erguß Name: siehe oben id: 7",
    "We update the report set on Monday: no effusion.": "We update the report set on Monday: no effusion.",
    "H|S of the right lung": "H|S of the right lung",
    "2020-01-01 12:00:00 chest: no effusion\n2020-01-02 12:00:00 chest: effusion": (
        "2020-01-01 12:00:00 chest: no effusion 2020-01-02 12:00:00 chest: effusion"
    ),
    "begin with the left lung": "begin with the left lung",
    "No effusion.\0\0\0\0": "No effusion.",
    "No effusion.\x1a": "No effusion.",
    "No effu\u00adsion\u200b.": "No effusion.",
    "# Report\n\n**Findings:** no effusion": "# Report **Findings:** no effusion",
}


@pytest.mark.parametrize(
    ("reason", "data"),
    [(reason, data) for reason, texts in REFUSED.items() for data in texts],
    ids=lambda value: value if isinstance(value, str) and value in REFUSED else "",
)
def test_what_a_machine_wrote_is_no_report(reason, data):
    with pytest.raises(DecodeError) as caught:
        read_report(data.encode() if isinstance(data, str) else data)
    assert str(caught.value) == reason


@pytest.mark.parametrize(("data", "text"), REPORTS.items())
def test_what_a_person_wrote_is_a_report(data, text):
    assert read_report(data.encode()) == text


def test_western_text_of_many_accents_is_read():
    said = "Élévation à côté des lésions déjà décrites; œdème évident"
    assert read_report(said.encode("cp1252")) == said

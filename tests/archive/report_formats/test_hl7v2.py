"""HL7 v2: only the results of ORU messages are text."""

import base64

import pytest
from support.report_files import BIRTH, FAMILY, GIVEN, NUMBER, hl7, observed, pdf

from mcmfh.archive.limits import DecodeError
from mcmfh.archive.report_formats.parsed import Status
from mcmfh.archive.reports import parse_reports, read_report, read_report_text


@pytest.mark.parametrize(
    ("results", "text"),
    [
        ([observed("Nodule in the left lung.\\.br\\Stable.")], "Nodule in the left lung. Stable."),
        ([observed("a"), observed("b"), observed("c")], "a b c"),
        ([observed("one~two~three", "FT")], "one two three"),
        ([observed("3 \\T\\ 4 \\F\\ 5 \\S\\ 6 \\R\\ 7 \\E\\ 8")], "3 & 4 | 5 ^ 6 ~ 7 \\ 8"),
        ([observed("\\X4E6F\\dule \\XC3BC\\ \\H\\bold\\N\\ \\Zxx\\")], "Nodule ü bold"),
        ([observed("one\\.BR\\two\\.Sp2\\three \\P\\ 4")], "one two three # 4"),
        ([observed("C:\\temp and 5\\6")], "C:\\temp and 5\\6"),
        ([observed("{\\E\\rtf1\\E\\ansi Rich \\E\\b text\\E\\b0.}", "FT")], "Rich text."),
        ([observed("<html><body><p>5 &lt; 6</p>"), observed("<script>x()</script></body></html>")], "5 < 6"),
        ([observed("24^Nodule^L", "CWE"), observed("N2^^X", "CE")], "Nodule N2"),
        (
            [observed("plain", "ST"), observed("12", "NM"), observed("DOE^X", "XPN"), observed("20200101", "DT")],
            "plain",
        ),
        ([observed(f"^TEXT^^Base64^{base64.b64encode(b'Attached').decode()}", "ED")], "Attached"),
        ([observed(f"^application^pdf^Base64^{base64.b64encode(pdf('In a PDF')).decode()}", "ED")], "In a PDF"),
        ([observed("^TEXT^rtf^A^{\\E\\rtf1 Rich}", "ED")], "Rich"),
        ([observed("^TEXT^^Hex^4E6F64756C65", "ED")], "Nodule"),
        ([observed("not yet", status="P"), observed("surely", status="F")], "surely"),
        ([observed("only this", status="P")], "only this"),
        ([observed("of another", status="W"), observed("gone", status="D"), observed("right", status="C")], "right"),
    ],
)
def test_results(results, text):
    assert read_report(hl7(*results)) == text
    assert read_report_text(hl7(*results).decode()) == text


@pytest.mark.parametrize("ending", [b"\r", b"\n", b"\r\n"])
@pytest.mark.parametrize("frame", [(b"", b""), (b"\x0b", b"\x1c\r"), (b"\xef\xbb\xbf", b""), (b"\r\n", b"\n\n")])
def test_line_endings_and_frames(ending, frame):
    data = hl7(observed("one"), observed("two")).replace(b"\r", ending)
    assert read_report(frame[0] + data + frame[1]) == "one two"


def test_other_separators():
    data = hl7(observed("one\\.br\\two & three~four")).decode()
    other = data.translate(str.maketrans({"|": "#", "^": "@", "~": "*", "\\": "!", "&": "%"}))
    assert read_report(other.encode()) == "one two % three four"


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [("UNICODE UTF-8", "utf-8"), ("8859/1", "cp1252"), ("8859/2", "iso8859-2"), ("", "utf-8"), ("", "cp1252")],
)
def test_character_sets(charset, encoding):
    assert read_report(hl7(observed("Größe"), charset=charset, encoding=encoding)) == "Größe"
    if encoding == "iso8859-2":
        assert read_report(hl7(observed("Żółć"), charset=charset, encoding=encoding)) == "Żółć"
    assert read_report(hl7(observed("肺"), charset="ISO IR87", encoding="iso2022_jp")) == "肺"


@pytest.mark.parametrize("kind", ["ADT^A01", "ORM^O01", "SIU^S12", "ACK", "MDM^T02", ""])
def test_other_messages_are_refused(kind):
    with pytest.raises(DecodeError, match="no observation result"):
        read_report(hl7(observed("x"), kind=kind))


def test_withdrawn_and_empty_messages():
    with pytest.raises(DecodeError, match="cancelled"):
        read_report(hl7(observed("x"), order="X"))
    with pytest.raises(DecodeError, match="cancelled"):
        read_report(hl7(observed("x", status="W")))
    with pytest.raises(DecodeError, match="empty report"):
        read_report(hl7(observed("12", "NM")))
    with pytest.raises(DecodeError, match="empty report"):
        read_report(hl7())


def test_header_facts_and_status():
    (report,) = parse_reports(hl7(observed("x"), "HD|113014^Study Instance UID||1.2.3.4.5||||||F", order="P"))
    assert (report.status, report.accession, report.patient, report.study) == (
        Status.PRELIMINARY,
        "A77",
        NUMBER,
        "1.2.3.4.5",
    )
    assert parse_reports(hl7(observed("x", status="C")))[0].status is Status.AMENDED


def test_several_messages():
    batch = (
        b"FHS|^~\\&|X\rBHS|^~\\&|X\r" + hl7(observed("draft", status="P"), order="P") + b"\r" + hl7(observed("done"))
    )
    assert read_report(batch + b"\rBTS|2\rFTS|1") == "done"
    other = hl7(observed("other")).replace(NUMBER.encode(), b"9999999")
    with pytest.raises(DecodeError, match="several patients"):
        read_report(hl7(observed("one")) + b"\r" + other)
    with pytest.raises(DecodeError, match="several studies"):
        read_report(hl7(observed("one")) + b"\r" + hl7(observed("two")).replace(b"A77", b"A78").replace(b"FI1", b"FI2"))


def test_a_message_without_its_header_is_no_prose():
    body = b"\r".join(hl7(observed("x")).split(b"\r")[1:])
    for data in (body, b"\n".join(body.split(b"\r")), b"Some words\n" + body.replace(b"\r", b"\n")):
        with pytest.raises(DecodeError, match="part of an HL7 message"):
            read_report(data)


def test_the_patient_does_not_enter_the_text():
    said = f"Pat. {FAMILY.upper()}, {GIVEN.upper()} (23.11.1951, {NUMBER}): nodule. {GIVEN} {FAMILY} is well. {BIRTH}"
    text = read_report(hl7(observed(said)))
    assert "nodule" in text
    for planted in (FAMILY, GIVEN, NUMBER, "1951"):
        assert planted.lower() not in text.lower()

"""CDA: the narrative of the sections and nothing of the header."""

import base64
import re
import zlib

import pytest
from support.report_files import FAMILY, GIVEN, NUMBER, cda, section

from mcmfh.archive.limits import DecodeError
from mcmfh.archive.report_formats.parsed import Status
from mcmfh.archive.reports import parse_reports, read_report


def test_sections_in_their_order_without_what_was_deleted():
    nested = "<component><section><title>Outer</title><text>a</text>" + section("b", "Inner") + "</section></component>"
    body = section("Nodule <content styleCode='Bold'>left</content>.<br/>5&#160;mm") + nested
    body += section("kept<content revised='delete'> gone</content><!-- no --> too", "Impression")
    body += section("1.2.3", "Object Catalog", "121181")
    assert read_report(cda(body)) == "Findings: Nodule left. 5 mm Outer: a Inner: b Impression: kept too"


def test_tables_and_lists_keep_their_words_apart():
    table = "<table><tr><td>Lung</td><td>clear</td></tr></table><list><item>a</item><item>b</item></list>"
    assert read_report(cda(section(table))) == "Findings: Lung clear a b"


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "windows-1252", "utf-16"])
def test_the_declared_encoding(encoding):
    data = cda(section("Erguß")).decode().replace('encoding="UTF-8"', f'encoding="{encoding}"').encode(encoding)
    assert read_report(data) == "Findings: Erguß"


def test_a_body_that_is_not_xml():
    data = base64.b64encode(b"{\\rtf1 Rich}").decode()
    assert (
        read_report(cda(f'<nonXMLBody><text mediaType="text/rtf" representation="B64">{data}</text></nonXMLBody>'))
        == "Rich"
    )
    assert read_report(cda("<nonXMLBody><text>Plain words</text></nonXMLBody>")) == "Plain words"
    with pytest.raises(DecodeError, match="not beside it"):
        read_report(cda('<nonXMLBody><text><reference value="a.pdf"/></text></nonXMLBody>'))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (cda(section("x"), code="34133-9"), "no report of an examination"),
        (cda(section("x"), code="18842-5"), "no report of an examination"),
        (cda(section("x"), head='<sdtc:statusCode code="nullified"/>'), "entered in error"),
        (cda(section("x"), head='<sdtc:statusCode code="aborted"/>'), "cancelled"),
        (cda(section("")), "empty report"),
        (cda(section("x"))[:-30], "cannot be parsed"),
        (b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + cda(section("&a;"))[39:], "document type"),
        (b'<?xml version="1.0"?><patient><name>Doe</name></patient>', "XML holds no report"),
        (b"<ClinicalDocument><recordTarget>Doe</recordTarget></ClinicalDocument>", "XML holds no report"),
        (b"<a:x xmlns:a='urn:hl7-org:v3'><!-- ClinicalDocument --></a:x>", "XML holds no report"),
    ],
)
def test_refused(data, reason):
    with pytest.raises(DecodeError, match=reason):
        read_report(data)


def test_status_and_facts():
    head = '<sdtc:statusCode code="active"/><setId root="1" extension="S1"/>'
    head += '<inFulfillmentOf><order><id extension="A77"/></order></inFulfillmentOf>'
    (report,) = parse_reports(cda(section("x"), head=head))
    assert (report.status, report.name, report.accession, report.patient) == (Status.PRELIMINARY, "S1", "A77", NUMBER)
    (amended,) = parse_reports(cda(section("x"), head='<relatedDocument typeCode="RPLC"/>'))
    assert amended.status is Status.AMENDED


def test_the_patient_does_not_enter_the_text():
    text = read_report(cda(section(f"{GIVEN} {FAMILY}, {NUMBER}, 1951-11-23: nodule. Frau {FAMILY} is well.")))
    assert text == "Findings: ___, ___, ___: nodule. ___ is well."


def other_body(text: str) -> bytes:
    body = f"<nonXMLBody>{text}</nonXMLBody>"
    return re.sub(rb"<structuredBody>.*</structuredBody>", body.encode(), cda(section("x")), flags=re.S)


@pytest.mark.parametrize("name", ["DF", "ZL", "GZ"])
@pytest.mark.parametrize("window", [-15, 15, 31])
def test_a_compressed_body(name, window):
    pack = zlib.compressobj(9, zlib.DEFLATED, window)
    data = base64.b64encode(pack.compress(b"Clear lungs.") + pack.flush()).decode()
    body = f'<text mediaType="text/plain" representation="B64" compression="{name}">{data}</text>'
    assert read_report(other_body(body)) == "Clear lungs."


def test_a_body_that_lies_beside_the_document():
    data = other_body('<text mediaType="text/plain"><reference value="a.txt"/></text>')
    assert read_report(data, {"a.txt": b"Clear lungs."}.get) == "Clear lungs."
    for beside in (None, {}.get):
        with pytest.raises(DecodeError, match="not beside it"):
            read_report(data, beside)


def test_an_encoding_that_is_not_the_declared_one():
    data = cda(section("Erguß")).decode().encode("cp1252")
    assert read_report(data) == "Findings: Erguß"


def test_a_long_comment_before_the_document():
    data = cda(section("Clear"))
    comment = b"<!--" + b"x" * 20_000 + b"-->"
    assert read_report(data.replace(b"<ClinicalDocument", comment + b"<ClinicalDocument", 1)) == "Findings: Clear"

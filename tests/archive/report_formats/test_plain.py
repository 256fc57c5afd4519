"""Plain text, HTML, RTF, PDF and character sets."""

import pytest
from support.report_files import pdf

from mcmfh.archive.limits import DecodeError
from mcmfh.archive.report_formats import html, rtf
from mcmfh.archive.report_formats.characters import decode
from mcmfh.archive.report_formats.identity import identity, without_identity
from mcmfh.archive.reports import read_report, read_report_text


@pytest.mark.parametrize(
    "text",
    [
        "o.B.",
        "CT",
        "Nodule 5 mm, 3 x 4 x 5 cm; SUV 4.5 (2.1).",
        "未见异常。",
        "FINDINGS:\n1) 12 mm\n2) 3 mm\nIMPRESSION: none",
        "<5 mm nodule; no change",
        "Study [1] and {2}",
        "Patient: 45 y\nHistory: cough\nFindings: clear\nOpinion: normal",
        "BMI 24, no finding",
        "MR of the RIFFLE | T1 | T2",
    ],
)
def test_prose(text):
    assert read_report(text.encode()) == read_report_text(text) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(0010,0010) PN [DOE^JANE]\n(0010,0020) LO [123]\n", "dump of a DICOM header"),
        ("0010,0010  Patient's Name: DOE^JANE", "dump of a DICOM header"),
        ("# Dicom-Data-Set\n(0010,0010) PN [DOE^JANE]  #   8, 1 PatientName", "dump of a DICOM header"),
        ("BEGIN:VCARD\nFN:Jane Doe\nEND:VCARD", "vCard"),
        ("From: a@b.c\nSubject: Jane Doe\n\nHello", "e-mail"),
        ("UNA:+.? '\nUNB+UNOA:1", "EDI"),
        ("ISA*00*   *00*   *ZZ*", "EDI"),
        ("id;name;birth;x\n1;Doe;1960;a\n2;Poe;1961;b\n3;Roe;1962;c\n", "table"),
        ("id\tname\tbirth\tx\n1\tDoe\t1960\ta\n2\tPoe\t1961\tb\n3\tRoe\t1962\tc\n", "table"),
        ("1.0 2.0 3.0 4.0 5.0\n" * 20, "prose"),
        ("QUJD" * 200, "prose"),
        ("[patient]\nname = Doe\n", "settings"),
        ("<patient><name>Doe</name></patient>", "XML"),
        ("<svg xmlns='http://www.w3.org/2000/svg'></svg>", "XML"),
        ("PID|1||12345||DOE^JANE||19600101|F", "part of an HL7 message"),
    ],
)
def test_what_a_machine_wrote_is_refused(text, reason):
    for encoding in ("utf-8", "utf-16"):
        with pytest.raises(DecodeError, match=reason):
            read_report(text.encode(encoding))
    with pytest.raises(DecodeError, match=reason):
        read_report_text(text)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<html><body>A&auml;<br>B &#8804; 5</body></html>", "Aä B ≤ 5"),
        ("<!DOCTYPE html><head><title>Doe</title><style>a{}</style><script>1</script></head><p>A<p>B", "A B"),
        ("<p>Shown</p><p style='display: none'>hidden</p><p hidden>gone</p><!-- Doe -->", "Shown"),
        ("<div><del>old</del> new <b>bo</b>ld</div>", "new bold"),
        ("<?xml version='1.0' encoding='utf-8'?><html><body>X<script>y</script> Z</body></html>", "X Z"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a b"),
        ("<html>" + "<div>" * 1000 + "deep", "deep"),
    ],
)
def test_html(markup, text):
    assert " ".join(html.parse(markup).split()) == text
    assert read_report(markup.encode()) == text


def test_html_too_deep_to_be_read_whole_is_refused():
    with pytest.raises(DecodeError, match="HTML cannot be read"):
        html.parse("<html>" + "<div>" * 100_000 + "deep")


def test_charset_of_a_page():
    page = "<html><head><meta charset='iso-8859-2'></head><body>Żółć</body></html>"
    assert read_report(page.encode("iso8859-2")) == "Żółć"
    assert read_report("<html><body>Erguß</body></html>".encode("cp1252")) == "Erguß"


def test_rtf():
    markup = rb"{\rtf1\ansi\ansicpg1252{\info{\title DOE JANE}}{\header Doe}\b Nodule\b0  \'fc\par{\v hid} x \u228?}"
    assert read_report(markup) == "Nodule ü x ä"
    assert read_report(rb"{\rtf1\ansi\ansicpg1251 \'c0}") == "А"
    with pytest.raises(DecodeError, match="empty"):
        read_report(rb"{\rtf1}")
    assert not rtf.recognises("rtf1 is no RTF")


def test_pdf():
    assert read_report(pdf("Nodule left")) == "Nodule left"
    with pytest.raises(DecodeError, match="no text layer"):
        read_report(pdf(" "))


@pytest.mark.parametrize(
    ("data", "declared", "text"),
    [
        ("Erguß".encode(), None, "Erguß"),
        ("Erguß".encode("utf-8-sig"), None, "Erguß"),
        ("Erguß".encode("utf-16"), None, "Erguß"),
        ("Erguß is long enough".encode("utf-16-le"), None, "Erguß is long enough"),
        ("Erguß is long enough".encode("utf-16-be"), None, "Erguß is long enough"),
        ("Erguß".encode("utf-32"), None, "Erguß"),
        (b"\x93a\x94 \x96 \x80 \x81", None, "“a” – € \x81"),
        (b"\x93a\x94", "iso-8859-1", "“a”"),
        ("Żółć".encode("iso8859-2"), "iso-8859-2", "Żółć"),
        ("Erguß".encode(), "us-ascii", "Erguß"),
        ("Erguß".encode(), "no-such-set", "Erguß"),
        (b"Erguss", "base64", "Erguss"),
        ("肺".encode("iso2022_jp"), None, "肺"),
        ("폐".encode("iso2022_kr"), None, "폐"),
    ],
)
def test_characters(data, declared, text):
    assert decode(data, declared) == text


@pytest.mark.parametrize("data", [b"a\0\0\0b", bytes(range(256)), b"\xff\xfe\x00\xd8"])
def test_what_is_no_text(data):
    with pytest.raises(DecodeError, match="not text"):
        decode(data)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Jane Doe has", "___ has"),
        ("DOE, JANE M. has", "___ M. has"),
        ("Doe^Jane", "___"),
        ("Jane M. Doe", "___"),
        ("Frau Doe", "___"),
        ("Patient: Doe, female", "___, female"),
        ("a doe in the wood", "a doe in the wood"),
        ("no 12345678 here, 2020-02-03", "no ___ here, ___"),
        ("3.2.2020 or 02/03/2020 or 20200203", "___ or ___ or ___"),
        ("123456789", "123456789"),
    ],
)
def test_identity(text, left):
    person = identity(["DOE^JANE"], ["12345678", "7"], ["20200203"])
    assert without_identity(text, person) == left
    assert without_identity(text, identity()) == text


@pytest.mark.parametrize("blanks", ["\n", "\n ", "[a]\n" + 20_000 * " ", "\x0b"])
def test_text_of_blanks_takes_no_quadratic_time(blanks):
    """With patterns that cross lines one of these takes minutes."""
    assert read_report_text(blanks * (100_000 // len(blanks) - 1) + "x").endswith("x")

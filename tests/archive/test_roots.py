"""Nothing outside archive.roots is read, and an address is tried as it may have been meant."""

import os
import unicodedata

import pytest

from mcmfh.archive.addresses import spellings
from mcmfh.archive.images import Limits
from mcmfh.archive.loading import item_fingerprint, load_item
from mcmfh.archive.roots import default_roots, folders_to_add, inside, line_to_add
from mcmfh.config import load_config
from mcmfh.errors import InputError
from mcmfh.store import files

OUTSIDE = "report address is outside archive.roots"


@pytest.fixture
def places(tmp_path):
    for name in ("archive/a.txt", "secret/s.txt", "archive-2/b.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("words of a report")
    os.symlink(tmp_path / "secret/s.txt", tmp_path / "archive/link.txt")
    os.symlink(tmp_path / "secret", tmp_path / "archive/folder")
    os.symlink(tmp_path / "archive/a.txt", tmp_path / "archive/inner.txt")
    os.symlink(tmp_path / "archive", tmp_path / "linked")
    return tmp_path


@pytest.mark.parametrize(
    "address",
    [
        *("{}/secret/s.txt", "{}/archive/../secret/s.txt", "{}/archive/link.txt", "{}/archive/folder/s.txt"),
        *("{}/archive-2/b.txt", "{}/archive/%2e%2e/secret/s.txt", "{}/archive/..\\secret\\s.txt", "/etc/passwd"),
        *("file://localhost/etc/passwd", "{}/archive", "file:///etc/passwd", "s3://bucket/x.txt"),
        "{}/archive/a.txt/../../secret/s.txt",
    ],
)
def test_outside(places, address):
    limits = Limits(roots=(f"{places}/archive",))
    item = {"report_uri": address.format(places)}
    reason = load_item(item, limits).reason
    assert reason in (OUTSIDE, "report address is a folder")
    assert (reason == OUTSIDE) == (address != "{}/archive")


@pytest.mark.parametrize(
    "address",
    [
        *("{}/archive/x.zip!/link.txt", "{}/archive/x.zip!/../../secret/s.txt", "{}/archive/f!/0-5"),
        *("{}/archive/x.zip!/%2e%2e/%2e%2e/secret/s.txt", "{}/archive/x.TAR.GZ!/folder/s.txt"),
    ],
)
def test_a_folder_named_like_a_container_leads_nowhere(places, address):
    for name in ("x.zip!", "f!", "x.TAR.GZ!"):
        (places / "archive" / name).mkdir()
    os.symlink(places / "secret/s.txt", places / "archive/x.zip!/link.txt")
    os.symlink(places / "secret/s.txt", places / "archive/f!/0-5")
    os.symlink(places / "secret", places / "archive/x.TAR.GZ!/folder")
    (places / "archive/x.zip!/a.txt").write_text("words of a report")
    limits = Limits(roots=(f"{places}/archive",))
    assert load_item({"report_uri": address.format(places)}, limits).reason == OUTSIDE
    assert load_item({"report_uri": f"{places}/archive/x.zip!/a.txt"}, limits).report == "words of a report"


@pytest.mark.parametrize("name", ["archive/a.txt", "archive/inner.txt", "archive/./a.txt", "archive/folder/../a.txt"])
@pytest.mark.parametrize("root", ["{}/archive", "file://{}/archive/", "{}/linked", "{}"])
def test_inside(places, name, root):
    limits = Limits(roots=(root.format(places),))
    if name == "archive/folder/../a.txt":  # of the folder that the link leads to
        assert load_item({"report_uri": f"{places}/{name}"}, limits).reason is not None
    else:
        assert load_item({"report_uri": f"{places}/{name}"}, limits).report == "words of a report"


def test_buckets():
    for uri, roots, allowed in (
        ("s3://b/x/a.png", ["s3://b"], True),
        ("s3://b/x/a.png", ["s3://b/x"], True),
        ("s3://b/xy/a.png", ["s3://b/x"], False),
        ("s3://b/x/../y/a.png", ["s3://b/x"], False),
        ("s3://b/../c/a.png", ["s3://b"], False),
        ("s3://bb/a.png", ["s3://b"], False),
        ("/a.png", ["s3://b"], False),
        ("/a.png", ["/"], True),
        ("/a.png", [], False),
        ("/a.png", None, True),
        ("/b/x.zip!/../../etc/passwd", ["/b"], True),  # a member's name leads nowhere
    ):
        assert inside(uri, roots) == allowed, (uri, roots)
    with pytest.raises(InputError, match=r"archive\.roots"):
        inside("s3://b/x", ["s3:/b"])


def test_defaults_and_the_line_to_add():
    assert default_roots("/data/m/manifest.csv") == ("file:///data/m",)
    assert default_roots("s3://bucket/deep/manifest.csv") == ("s3://bucket",)
    assert load_config(["archive.manifest=/data/m.csv"], read_default=False).archive.limits.roots == ("file:///data",)
    given = load_config(["archive.manifest=/data/m.csv", "archive.roots=[/x, 's3://b']"], read_default=False)
    assert given.archive.limits.roots == ("/x", "s3://b")
    uris = [
        "file:///data/m/a.png",
        "file:///pacs/1/a.png",
        "file:///pacs/2/b.png",
        "s3://b/1/x",
        None,
        "file:///etc/passwd",
    ]
    more = folders_to_add(uris, ["/data"])
    assert more == {"file:///pacs": 2, "s3://b/1": 1, "file:///etc": 1}
    assert line_to_add(["/data"], ["file:///pacs"]) == "archive.roots=[file:///data, file:///pacs]"


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Größe é.txt") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED, COMPOSED),
        ("a b.txt", "a%20b.txt"),
        ("a%20b.txt", "a%20b.txt"),
        (COMPOSED, "Gr%C3%B6%C3%9Fe%20e%CC%81.txt"),
        ("x.txt", "sub\\..\\x.txt"),
    ],
)
def test_spellings_are_tried_before_a_file_is_not_found(tmp_path, name, address):
    (tmp_path / "sub").mkdir()
    (tmp_path / name).write_text("words of a report")
    for start in (f"{tmp_path}/", f"file://{tmp_path}/", f"file://localhost{tmp_path}/"):
        item = {"report_uri": start + address}
        assert load_item(item, Limits(roots=(str(tmp_path),))).report == "words of a report"
        assert item_fingerprint(item) != item_fingerprint({"report_uri": f"{tmp_path}/none"})
    assert load_item({"report_uri": f"{tmp_path}/none%20{address}"}).reason == "report file not found"


def test_the_address_as_written_comes_first():
    assert next(spellings("/a%20b\\é.png")) == "/a%20b\\é.png"
    assert len(list(spellings("/plain.png"))) == 1


FOREIGN = ("memory", "local", "http", "ftp", "gopher", "hdfs", "abfs", "gcs", "s3a", "github")


@pytest.mark.parametrize("uri", [*(f"{scheme}://c/x" for scheme in FOREIGN), "s3:/b/x", "S3:/b", "az:/b/x", "gs:/b/x"])
def test_other_schemes_never_reach_the_disk(tmp_path, monkeypatch, uri):
    monkeypatch.chdir(tmp_path)
    for call in (files.read, files.exists, files.size, lambda uri: files.create(uri, b"x"), files.probe, files.names):
        with pytest.raises(InputError, match=r"not supported|two slashes"):
            call(uri)
    assert list(tmp_path.iterdir()) == []


def test_attachments_beside_a_report_are_read_from_its_folder_alone(places):
    import json

    def report(url: str) -> str:
        path = places / "archive" / "report.json"
        form = {"contentType": "text/plain", "url": url}
        path.write_text(json.dumps({"resourceType": "DiagnosticReport", "presentedForm": [form]}))
        loaded = load_item({"report_uri": str(path)}, Limits(roots=(f"{places}/archive",)))
        return loaded.report or loaded.reason or ""

    assert report("a.txt") == report("./a.txt") == "words of a report"
    for url in (
        "../secret/s.txt",
        "link.txt",
        "folder/s.txt",
        "/etc/passwd",
        "file:///etc/passwd",
        "http://h/a.txt",
        "%2e%2e/x",
    ):
        assert report(url) == "attachment of the report is not beside it"

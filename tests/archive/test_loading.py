"""Rows to pictures and reports: what is wrong with an item is its reason, a store that does not answer raises."""

import errno
import hashlib
import threading

import numpy as np
import pytest
from PIL import Image

from mcmfh.archive import loading
from mcmfh.archive.images import Limits
from mcmfh.archive.loading import item_fingerprint, item_fingerprints, load_item, load_items
from mcmfh.store import files


@pytest.fixture
def archive(tmp_path):
    for number in range(20):
        pixels = np.full((8, 9), number * 10, np.uint8)
        pixels[0, 0] = 255 - number
        image = Image.fromarray(pixels)
        image.save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text(f"report  number {number}")
    return files.absolute(str(tmp_path))


def item(archive: str, number: int) -> dict:
    return {"item_id": str(number), "image_uri": f"{archive}/{number}.png", "report_uri": f"{archive}/{number}.txt"}


def test_an_item_with_both(archive):
    loaded = load_item(item(archive, 7))
    assert loaded.reason is None
    assert np.asarray(loaded.image)[1, 1] == 70
    assert loaded.report == "report number 7"
    assert loaded.report_sha256 == hashlib.sha256(b"report number 7").hexdigest()
    assert loaded.image_sha256 == hashlib.sha256(files.read(f"{archive}/7.png")).hexdigest()


def test_inline_report_and_single_modalities(archive):
    only_report = load_item({"report": " inline\n text "})
    assert (only_report.report, only_report.image, only_report.reason) == ("inline text", None, None)
    only_image = load_item({"image_uri": f"{archive}/1.png", "report": None})
    assert only_image.report is only_image.report_sha256 is only_image.reason is None
    assert only_image.image is not None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image_uri": "{}/none.png"}, "image file not found"),
        ({"report_uri": "{}/none.txt"}, "report file not found"),
        ({"image_uri": "{}"}, "image address is a folder"),
        ({"image_uri": "{}/1.png/2.png"}, "image address is a folder"),
        ({"image_uri": "{}/" + "x" * 5000}, "image address is not valid"),
        ({"image_uri": "{}/\0"}, "image address is not valid"),
        ({"image_uri": "gopher://x/y"}, "image address has an unsupported scheme"),
        ({"image_uri": "{}/1.txt"}, "not an image of a supported type"),
        ({"report_uri": "{}/1.png"}, "report is not text"),
        ({"image_uri": None, "report_uri": None}, "row has neither image nor report"),
        ({"image_uri": None, "report_uri": None, "report": " \n"}, "empty report"),
    ],
)
def test_reasons(archive, changes, reason):
    changed = {name: value and value.replace("{}", archive) for name, value in changes.items()}
    loaded = load_item({**item(archive, 3), **changed})
    assert loaded.reason == reason
    assert loaded.image is loaded.report is None


def test_a_file_too_large_is_not_read_whole(tmp_path):
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(10 << 30)
    assert load_item({"image_uri": str(tmp_path / "huge.png")}).reason == "file is larger than the limit"


def test_forbidden(archive, monkeypatch):
    monkeypatch.setattr(files, "read", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no")))
    assert load_item(item(archive, 1)).reason == "image file may not be read"


@pytest.mark.parametrize("error", [ConnectionError("reset"), TimeoutError(), OSError(errno.EBUSY, "slow down")])
def test_a_store_that_does_not_answer_raises(archive, monkeypatch, error):
    def read(*_):
        raise error

    monkeypatch.setattr(files, "read", read)
    with pytest.raises(type(error)):
        load_item(item(archive, 1))
    with pytest.raises(type(error)):
        list(load_items([item(archive, n) for n in range(5)]))


def test_an_empty_object_on_a_store_without_empty_ranges(archive, monkeypatch):
    def read(*_):
        raise OSError(errno.EINVAL, "The requested range cannot be satisfied")

    monkeypatch.setattr(files, "read", read)
    monkeypatch.setattr(files, "size", lambda _: 0)
    assert load_item({"image_uri": "s3://bucket/empty.png"}).reason == "file is empty"


@pytest.fixture
def remote(archive, monkeypatch):
    """The archive as a store over a network would have it."""
    read = files.read
    monkeypatch.setattr(files, "read", lambda uri, *bounds: read(uri.replace("s3://bucket", archive), *bounds))
    return "s3://bucket"


def test_many_in_order_fetched_side_by_side(remote, monkeypatch):
    read, seen = files.read, set()
    together = threading.Barrier(4, timeout=10)

    def watched(uri, start=None, end=None):
        if uri.endswith(".png") and len(seen) < 4:
            seen.add(uri)
            together.wait()
        return read(uri, start, end)

    monkeypatch.setattr(files, "read", watched)
    items = [item(remote, n) for n in range(20)] * 3
    loaded = list(load_items(items, threads=4))
    assert [one.report for one in loaded] == [f"report number {n}" for n in range(20)] * 3


@pytest.mark.parametrize("items", [0, 1, 8, 9, 60])
def test_files_of_a_disk_in_order(archive, items):
    wanted = [n % 20 for n in range(items)]
    assert [one.report for one in load_items(item(archive, n) for n in wanted)] == [
        f"report number {n}" for n in wanted
    ]


@pytest.mark.parametrize(("place", "most"), [("remote", 3), ("archive", 15)])
def test_few_are_in_flight(place, most, request):
    root, taken = request.getfixturevalue(place), 0

    def source():
        nonlocal taken
        for n in range(60):
            taken += 1
            yield item(root, n % 20)

    stream = load_items(source(), Limits(), threads=2)
    for seen in range(1, 61):
        next(stream)
        assert taken - seen <= most


def test_fingerprints_change_with_the_files_and_the_text(archive):
    items = [item(archive, n) for n in range(20)] + [{"report": "inline"}, {"image_uri": f"{archive}/none.png"}]
    before = item_fingerprints(items)
    assert before == [item_fingerprint(one) for one in items] == item_fingerprints(items)
    assert len(set(before)) == len(items)
    files.delete(f"{archive}/4.txt")
    files.create(f"{archive}/4.txt", b"another report")
    Image.new("L", (3, 3)).save(files.absolute(archive).removeprefix("file://") + "/none.png")
    after = item_fingerprints(items)
    assert [n for n, (old, new) in enumerate(zip(before, after)) if old != new] == [4, 21]
    assert item_fingerprint({"report": "other"}) != before[20]


def test_a_folder_of_many_is_listed_once(archive, monkeypatch):
    asked = []
    monkeypatch.setattr(loading.files, "version", lambda uri: asked.append(uri) or "v")
    item_fingerprints([item(archive, n) for n in range(20)])
    assert asked == []
    item_fingerprints([item(archive, 1)])
    assert len(asked) == 2

"""One boundary: whatever is raised while an item is loaded, the item gets a reason and the others are loaded."""

import builtins
import os
import traceback

import numpy as np
import pytest

from mcmfh.archive.images import Limits
from mcmfh.archive.loading import Readers, item_fingerprint, item_fingerprints, load_item, load_items
from mcmfh.errors import InputError
from mcmfh.store import files

ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit)
OUTAGES = (ConnectionError, TimeoutError)


class PanicException(BaseException):
    """What libraries in Rust raise."""


def everything() -> list[type[BaseException]]:
    kinds = [kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, BaseException)]
    return [kind for kind in kinds if not issubclass(kind, ENDS) and kind not in (BaseExceptionGroup, ExceptionGroup)]


def an(kind: type[BaseException]) -> BaseException:
    if issubclass(kind, UnicodeDecodeError):
        return kind("utf-8", b"Doe Jane", 0, 1, "Doe Jane")
    if issubclass(kind, UnicodeEncodeError):
        return kind("utf-8", "Doe Jane", 0, 1, "Doe Jane")
    if issubclass(kind, UnicodeTranslateError):
        return kind("Doe Jane", 0, 1, "Doe Jane")
    return kind("Doe Jane /home/doe/1951.png")


def raising(error: BaseException):
    def reader(*_):
        raise error

    return reader


@pytest.fixture
def archive(tmp_path):
    from PIL import Image

    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "1.png")
    (tmp_path / "1.txt").write_text("A report")
    return files.absolute(str(tmp_path))


@pytest.mark.parametrize("kind", [*everything(), PanicException], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("stage", ["read", "image", "report"])
def test_every_exception_is_a_reason_with_its_class_name(archive, kind, stage):
    item = {"image_uri": f"{archive}/1.png", "report_uri": f"{archive}/1.txt"}
    readers = Readers(**{stage: raising(an(kind))})
    if issubclass(kind, OUTAGES) and stage != "image":
        with pytest.raises(kind, match=kind.__name__) as outage:
            load_item(item, readers=readers)
        assert "Doe" not in "".join(traceback.format_exception(outage.value))
        return
    if stage == "read" and not issubclass(kind, Exception):
        return  # nothing but Python reads
    loaded = load_item(item, readers=readers)
    assert loaded.reason
    assert "Doe" not in loaded.reason
    assert "/" not in loaded.reason
    known = ("not found", "may not be read", "is a folder", "is not valid")
    assert kind.__name__ in loaded.reason or any(words in loaded.reason for words in known)
    assert [one.reason for one in load_items([item, {"report": "x"}], readers=readers)] == [loaded.reason, None]


def test_a_store_that_fails_while_fingerprints_are_taken_says_no_address(archive, monkeypatch):
    for call, items in (("version", 1), ("walk", 20)):
        with monkeypatch.context() as patch:
            patch.setattr(files, call, raising(TimeoutError("Doe Jane /home/doe/1951.png")))
            with pytest.raises(TimeoutError, match="TimeoutError") as outage:
                item_fingerprints([{"image_uri": f"{archive}/{number}.png"} for number in range(items)])
        assert "Doe" not in "".join(traceback.format_exception(outage.value))


@pytest.mark.parametrize("kind", ENDS)
def test_an_interrupt_stays_one(archive, kind):
    with pytest.raises(kind):
        load_item({"image_uri": f"{archive}/1.png"}, readers=Readers(image=raising(kind())))


def test_a_library_that_is_missing_is_no_fault_of_the_item(archive):
    with pytest.raises(InputError):
        load_item({"image_uri": f"{archive}/1.png"}, readers=Readers(image=raising(InputError("pip install x"))))


def test_another_computer_is_not_looked_for_below_the_working_folder(archive, monkeypatch):
    monkeypatch.chdir(archive.removeprefix("file://"))
    os.mkdir("server")
    os.symlink("../1.png", "server/1.png")
    assert load_item({"image_uri": "file://server/1.png"}).reason == "image address is not valid"


@pytest.mark.parametrize(
    "value",
    [
        "http://h/x.png",
        "ftp://h/x",
        "memory://x",
        "local://x",
        "s3:/b/x",
        "x:/y",
        "\ud800",
        "~",
    ],
)
def test_values_of_any_kind_in_a_row(value):
    for name in ("image_uri", "report_uri"):
        assert load_item({name: value}).reason
        assert item_fingerprint({name: value}) == item_fingerprints([{name: value}])[0]


def test_links_pipes_and_devices(archive):
    root = archive.removeprefix("file://")
    os.symlink(root, f"{root}/folder")
    os.symlink("nowhere", f"{root}/dangling.png")
    os.symlink("loop2.png", f"{root}/loop1.png")
    os.symlink("loop1.png", f"{root}/loop2.png")
    os.symlink("1.png", f"{root}/good.png")
    os.mkfifo(f"{root}/pipe.png")
    expected = {
        "folder": "image address is a folder",
        "dangling.png": "image file not found",
        "loop1.png": "image address is not valid",
        "pipe.png": "image address is not valid",
        "good.png": None,
        "1.png": None,
    }
    items = [{"image_uri": f"{archive}/{name}"} for name in expected] + [{"image_uri": "/dev/zero"}] * 5
    assert len(item_fingerprints(items)) == len(items)
    for roots in (None, (archive,)):
        reasons = [one.reason for one in load_items(items, Limits(roots=roots))]
        assert reasons[: len(expected)] == list(expected.values())
        assert set(reasons[len(expected) :]) == {
            "image address is not valid" if roots is None else "image address is outside archive.roots"
        }

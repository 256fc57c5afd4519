"""What is written on a disk can be read by its owner alone, whatever the umask."""

import os
import stat
import subprocess
import sys

import pytest

from mcmfh.command import guarded
from mcmfh.store import files, private


@pytest.fixture(params=[0o000, 0o022])
def _open_umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def rights(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("_open_umask")
def test_objects_and_downloads_are_private(tmp_path):
    files.create(f"{tmp_path}/a/b/c.json", b"{}")
    files.put(f"{tmp_path}/a/d", b"x")
    files.download(f"{tmp_path}/a/d", tmp_path / "e" / "f")
    for path in [*(tmp_path / "a").rglob("*"), *(tmp_path / "e").rglob("*"), tmp_path / "a", tmp_path / "e"]:
        assert rights(path) == (0o700 if path.is_dir() else 0o600), path


def test_a_folder_that_exists_keeps_its_rights(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o750)  # mkdir's mode is cut by the umask
    private.make_folder(tmp_path / "shared" / "a")
    assert (rights(tmp_path / "shared"), rights(tmp_path / "shared" / "a")) == (0o750, 0o700)
    with pytest.raises(FileExistsError):
        private.make_file(tmp_path / "shared")


@pytest.mark.usefixtures("_open_umask")
def test_a_command_and_its_children_write_private_files(tmp_path):
    before = os.umask(0o022)

    def command() -> None:
        (tmp_path / "own").write_text("x")
        subprocess.run([sys.executable, "-c", f"open({str(tmp_path / 'child')!r}, 'w')"], check=True)

    try:
        assert guarded(command) == 0
    finally:
        os.umask(before)
    assert (rights(tmp_path / "own"), rights(tmp_path / "child")) == (0o600, 0o600)

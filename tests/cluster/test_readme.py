"""cluster/README.md taken literally: its commands, in its order, on this machine.

What a command names and this machine lacks is lent: /etc, /opt, /srv and /var/lib in a mount namespace, machines as
network namespaces, a folder for the bucket. Commands get a free port where they would listen on 8000.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.command_lines import documented
from support.endpoint_nodes import until
from support.manifests import CLUSTER, REPOSITORY
from support.node_network import Network, node_network

from mcmfh.archive.manifest import read_manifest, write_manifest
from mcmfh.client import get, search_endpoint
from mcmfh.errors import InputError
from mcmfh.phantom import write_phantom
from mcmfh.processes import free_port

pytestmark = [pytest.mark.slow, pytest.mark.ray]

README = (CLUSTER / "README.md").read_text()
STUDIES = 40
QUERY = {"report": "Nodule in the left lung.", "k": 3}


def commands(heading: str) -> list[str]:
    """The fenced command lines of a section."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = "".join(f"```{block}```" for block in section.split("```")[1::2])
    return documented(blocks)


def environment(home: Path) -> dict[str, str]:
    """What a user's shell has on a machine where nothing of Ray is set."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(home),
        "MCMFH_CACHE": str(home / "cache"),
    }


def checkout(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for part in ("jobs", "mcmfh", "cluster"):
        shutil.copytree(REPOSITORY / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("ray_config.yaml", "pyproject.toml"):
        shutil.copy(REPOSITORY / part, folder)
    return folder


def done(command: list[str], folder: Path, variables: dict[str, str]) -> str:
    ended = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=400)
    assert ended.returncode == 0, f"{command}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
    return ended.stdout


@contextmanager
def serving(command: list[str], folder: Path, variables: dict[str, str], url: str) -> Iterator[None]:
    """The endpoint that `command` runs until it is interrupted."""
    process = subprocess.Popen(command, cwd=folder, env=variables, start_new_session=True)
    try:
        until(lambda: process.poll() is not None or ready(url))
        assert process.poll() is None
        yield
    finally:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(90) == 0


def ready(url: str) -> bool:
    try:
        return bool(get(f"{url}/readyz"))
    except OSError:
        return False


def test_the_laptop(tmp_path):
    folder, variables, port = checkout(tmp_path / "checkout"), environment(tmp_path), free_port()
    manifest = write_phantom(f"file://{folder}", studies=STUDIES, seed=1)
    assert manifest == f"file://{folder}/manifest.csv"
    *jobs, serve = commands("Laptop")
    assert [shlex.split(job)[1] for job in jobs] == ["jobs/embed.py", "jobs/train.py", "jobs/hash_archive.py"]
    for job in jobs:
        done(shlex.split(job), folder, variables)
    url = f"http://127.0.0.1:{port}"
    with serving([*shlex.split(serve), f"serve.port={port}"], folder, variables, url):
        assert len(search_endpoint(url, None, QUERY)["hits"]) == 3


class Server:
    """One server: a mount namespace whose /etc, /opt, /srv and /var/lib are folders below `root`."""

    def __init__(self, root: Path):
        self.root, self.variables = root, environment(root)
        for folder in ("opt", "srv/archive", "var/lib/mcmfh"):
            (root / folder).mkdir(parents=True)
        shutil.copytree("/etc", root / "etc", symlinks=True, ignore_dangling_symlinks=True)
        checkout(root / "opt" / "mcmfh")
        (root / "opt" / "mcmfh" / ".venv").symlink_to(sys.prefix)

    def command(self, line: str) -> list[str]:
        lent = [f"mount --bind {self.root}/{folder} /{folder}" for folder in ("etc", "opt", "srv", "var/lib")]
        return ["unshare", "--mount", "sh", "-ec", "; ".join([*lent, "cd /opt/mcmfh", f"exec {line}"])]

    def run(self, line: str) -> str:
        return done(self.command(line), self.root, self.variables)


def test_the_server(tmp_path):
    if shutil.which("unshare") is None:
        pytest.skip("mount namespaces need util-linux")
    if (refused := subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True)).returncode:
        pytest.skip(f"this machine lends no mount namespace: {refused.stderr.strip()}")
    server, port = Server(tmp_path), free_port()
    table = read_manifest(write_phantom(f"file://{tmp_path}/srv/archive", studies=STUDIES, seed=1), ())
    for number, name in enumerate(table.column_names):
        if name in ("image_uri", "report_uri"):
            uris = [uri and uri.replace(f"{tmp_path}/srv", "/srv") for uri in table[name].to_pylist()]
            table = table.set_column(number, name, [uris])
    write_manifest(table, f"file://{tmp_path}/srv/archive/manifest.parquet")
    said = server.run("mcmfh key new ward")
    key = re.search(r"key, shown this once: +(\S+)", said)[1]
    line = re.search(r"- \{.*\}", said)[0]
    (tmp_path / "opt" / "mcmfh" / "keys.yaml").write_text(line + "\n")

    not_run = [line for line in commands("One server") if line.startswith("systemctl")]
    assert len(not_run) == 1  # there is no systemd to ask; below, the unit's own command is run
    for line in commands("One server"):
        if line not in not_run:
            server.run(line)

    server.variables["CREDENTIALS_DIRECTORY"] = "/etc/mcmfh"
    unit = server.root / "etc" / "systemd" / "system"
    assert "snapshot 1" in server.run(started_by(unit / "mcmfh-hash.service"))
    url = f"http://127.0.0.1:{port}"
    command = server.command(f"{started_by(unit / 'mcmfh.service')} serve.port={port}")
    with serving(command, tmp_path, server.variables, url):
        with pytest.raises(InputError, match="401"):
            search_endpoint(url, None, QUERY)
        assert len(search_endpoint(url, None, QUERY, key)["hits"]) == 3


def started_by(unit: Path) -> str:
    return next(line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")).partition("=")[2]


def test_machines_of_ones_own(tmp_path):
    """The bucket is a folder that all machines share; ssh's tunnel is a shell on the head."""
    folder, keys = checkout(tmp_path / "checkout"), tmp_path / "keys.yaml"
    manifest = write_phantom(f"file://{tmp_path}/bucket", studies=STUDIES, seed=1)
    said = subprocess.check_output([sys.executable, "-m", "mcmfh.cli", "key", "new", "ward"], text=True)
    keys.write_text(re.search(r"- \{.*\}", said)[0])
    key = re.search(r"key, shown this once: +(\S+)", said)[1]
    everywhere, submitted = two_blocks(commands("Machines of your own"))
    token, source, head, worker = everywhere
    known = {
        "s3://bucket/manifest.parquet": manifest,
        "s3://bucket": f"file://{tmp_path}/bucket",
        "/etc/mcmfh/keys.yaml": str(keys),
    }
    with node_network(tmp_path) as network:
        variables = environment(tmp_path)
        done(["bash", "-c", token], folder, variables)
        network.start_by(f"{source}\n{head}", folder, variables)
        for _ in range(2):
            network.start_by(f"{source}\n{worker.replace('HEAD', network.nodes[0].address)}", folder, variables)
        until(lambda: answers(network, variables))
        shell = []
        for line in submitted:
            for there, here in known.items():
                line = line.replace(there, here)
            if line.startswith("export "):
                shell.append(line)
            else:
                said = on_head(network, "\n".join([*shell, line]), folder, variables)
        assert said.startswith("endpoint RUNNING")
        url = f"http://{network.nodes[0].address}:8000"
        assert len(search_endpoint(url, None, QUERY, key)["hits"]) == 3


def two_blocks(lines: list[str]) -> tuple[list[str], list[str]]:
    """(what starts the machines, what is submitted to them)"""
    at = next(number for number, line in enumerate(lines) if line.startswith("export "))
    assert len(lines[:at]) == 4
    return lines[:at], lines[at:]


def answers(network: Network, variables: dict[str, str]) -> bool:
    """Whether the head has come so far that it takes jobs."""
    line = "RAY_AUTH_MODE=token mcmfh jobs list"
    return not subprocess.run(in_head(network, line), env=variables, capture_output=True, timeout=100).returncode


def in_head(network: Network, line: str) -> list[str]:
    return ["ip", "netns", "exec", network.nodes[0].name, "bash", "-ec", line]


def on_head(network: Network, line: str, folder: Path, variables: dict[str, str]) -> str:
    return done(in_head(network, line), folder, variables)

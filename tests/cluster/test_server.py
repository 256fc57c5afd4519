"""What one server runs: systemd units, a compose file, and the environment of machines that no container sets up."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.manifests import CLUSTER, REPOSITORY

SERVER = CLUSTER / "server"
UNITS = sorted(path.name for path in SERVER.glob("mcmfh*"))
COMPOSE = (SERVER / "compose.yaml").read_text()


def verified(folder: Path) -> str:
    """What systemd says of the units in `folder`, whose program is taken to be this Python."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    for path in folder.iterdir():
        path.write_text(path.read_text().replace("/opt/mcmfh/.venv/bin/python", sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(folder.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return "\n".join(line for line in (done.stdout + done.stderr).splitlines() if "mcmfh" in line)


def copied(folder: Path) -> Path:
    for name in UNITS:
        shutil.copy(SERVER / name, folder / name)
    return folder


def test_systemd_accepts_the_units(tmp_path):
    assert UNITS == ["mcmfh-hash.service", "mcmfh-hash.timer", "mcmfh.service"]
    assert verified(copied(tmp_path)) == ""


@pytest.mark.parametrize(
    ("unit", "right", "wrong"),
    [
        ("mcmfh.service", "LoadCredential=", "LoadCredentials="),
        ("mcmfh.service", "Restart=on-failure", "Restart=on-failures"),
        ("mcmfh.service", "ExecStart=", "ExecBegin="),
        ("mcmfh-hash.timer", "OnCalendar=*-*-* 01:30:00", "OnCalendar=nightly"),
        ("mcmfh-hash.timer", "[Timer]", "[Timers]"),
    ],
)
def test_a_mistake_in_a_unit_is_named(unit, right, wrong, tmp_path):
    path = copied(tmp_path) / unit
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    assert verified(tmp_path) != ""


def compose_faults(text: str, folder: Path) -> str:
    path = folder / "compose.yaml"
    path.write_text(text)
    program = Path(sys.executable).parent / "check-jsonschema"
    command = [str(program), "--builtin-schema", "vendor.compose-spec", "--output-format", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    report = json.loads(done.stdout)
    return "" if report["status"] == "ok" else json.dumps(report)


def test_the_compose_file_keeps_to_its_specification(tmp_path):
    assert compose_faults(COMPOSE, tmp_path) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("read_only: true", "readonly: true"),
        ("cap_drop: [ALL]", "cap_drop: ALL"),
        ("stop_grace_period", "stop_grace"),
        ("healthcheck:", "health_check:"),
    ],
)
def test_a_mistake_in_the_compose_file_is_named(right, wrong, tmp_path):
    assert right in COMPOSE
    assert compose_faults(COMPOSE.replace(right, wrong), tmp_path)


def test_what_the_compose_file_names_exists():
    compose = yaml.safe_load(COMPOSE)
    dockerfile = (CLUSTER / "Dockerfile").read_text()
    for name, service in compose["services"].items():
        assert (SERVER / service["build"]["context"]).resolve() == REPOSITORY
        assert (REPOSITORY / service["build"]["dockerfile"]).is_file()
        assert {one["source"] for one in service["configs"]} <= set(compose["configs"]), name
        assert set(service.get("secrets", ())) <= set(compose.get("secrets", {})), name
        mounted = {one["source"]: one["target"] for one in service["volumes"]}
        assert {key for key in mounted if not key.startswith("/")} <= set(compose["volumes"]), name
        config = yaml.safe_load((SERVER / compose["configs"]["ray_config"]["file"]).read_text())
        assert config["store"].startswith(mounted["state"] + "/"), name
        assert config["archive"]["manifest"].startswith("/srv/archive/"), name
        assert mounted["/srv/archive"] == "/srv/archive", name
        for volume in ("state", "scratch"):  # a new volume has the owner that its folder has in the image
            assert mounted[volume] in dockerfile
    keys = [word for word in compose["services"]["endpoint"]["command"] if word.startswith("serve.keys_uri=")]
    assert keys == ["serve.keys_uri=/run/secrets/keys"]
    for target in ("cpu", "cuda"):
        assert f" AS {target}\n" in dockerfile


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_environment_sh_sets_what_pods_have_and_keeps_what_is_set(shell):
    lines = (CLUSTER / "kuberay" / "base" / "environment.env").read_text().splitlines()
    wanted = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    script = (
        f'. cluster/environment.sh; exec "{sys.executable}" -c "import json, os; print(json.dumps(dict(os.environ)))"'
    )
    given = {"PATH": "/usr/bin:/bin", "AWS_REGION": "eu-west-3", "RAY_SERVE_HAPROXY_RETRY_ON": ""}
    done = subprocess.run(
        [shell, "-euc", script], cwd=REPOSITORY, env=given, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert {name: found.get(name) for name in wanted} == {
        **wanted,
        **{key: given[key] for key in given if key != "PATH"},
    }

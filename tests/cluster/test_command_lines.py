"""Every command line in the files and in cluster/README.md is one that its program accepts."""

import functools
import shlex
from pathlib import Path

import pytest
import yaml
from support.command_lines import (
    PENDING_KEYS,
    documented,
    fault,
    load_site_config,
)
from support.manifests import CLUSTER, OVERLAYS, pods, ray_groups, render

from mcmfh.config import load_config
from mcmfh.errors import InputError

SITE_CONFIGS = [*(CLUSTER / "kuberay" / "overlays").glob("*/ray_config.yaml"), CLUSTER / "server" / "ray_config.yaml"]


@pytest.fixture
def config_file(tmp_path):
    """/etc/mcmfh/… → a file that the configuration's loader takes."""

    def here(path: str) -> Path:
        load_site_config(CLUSTER / "kuberay" / "overlays" / "cpu" / "ray_config.yaml", [], tmp_path)
        return tmp_path / "ray_config.yaml"

    return here


@pytest.mark.parametrize("path", SITE_CONFIGS, ids=lambda path: path.parent.name)
def test_site_configurations_hold_known_keys_and_good_values(path, tmp_path):
    config = load_site_config(path, [], tmp_path)
    assert config.store
    assert config.archive.manifest


@functools.cache
def rendered_commands() -> list[str]:
    """What the pods run: entrypoints, args, and `ray start` with a group's parameters."""
    commands = []
    for document in [document for overlay in OVERLAYS for document in render(overlay)]:
        commands += [document["spec"]["entrypoint"]] if document["kind"] == "RayJob" else []
        if document["kind"] == "CronJob":
            commands += [shlex.join(container["args"]) for container in pods(document)[0].containers]
        for name, group in ray_groups(document):
            parameters = [f"--{key}={value}" for key, value in group["rayStartParams"].items()]
            where = ["--head"] if name == "head" else ["--address=127.0.0.1:6379"]
            commands.append(shlex.join(["ray", "start", *where, *parameters]))
    return commands


def test_what_pods_run(config_file):
    assert len(rendered_commands()) >= 3 * 9
    assert [found for command in rendered_commands() if (found := fault(command, config_file))] == []


def test_what_the_server_runs(config_file):
    services = yaml.safe_load((CLUSTER / "server" / "compose.yaml").read_text())["services"]
    commands = [shlex.join(service["command"]) for service in services.values()]
    for unit in (CLUSTER / "server").glob("*.service"):
        commands += [line.partition("=")[2] for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    assert len(commands) == 6
    assert [found for command in commands if (found := fault(command, config_file))] == []


def test_what_machines_on_ec2_run():
    config = yaml.safe_load((CLUSTER / "aws.yaml").read_text())
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        parts = [part for line in config[key] for part in line.split("&&")]
        started = [part[part.index("ray ") :] for part in parts if "ray " in part]
        assert len(started) == 2
        assert [found for command in started if (found := fault(command))] == []


def test_what_the_readme_says(config_file):
    commands = documented((CLUSTER / "README.md").read_text())
    assert len([command for command in commands if command.startswith("mcmfh submit")]) >= 4
    assert [found for command in commands if (found := fault(command, config_file))] == []


def test_serve_yaml_names_the_configuration_that_is_mounted(tmp_path):
    serve = yaml.safe_load((CLUSTER / "kuberay" / "base" / "serve.yaml").read_text())
    arguments = serve["applications"][0]["args"]
    for overlay in ("cpu", "gpu"):
        path = CLUSTER / "kuberay" / "overlays" / overlay / "ray_config.yaml"
        config = load_site_config(path, arguments["overrides"], tmp_path)
        assert (config.serve.host, config.serve.port) == (
            serve["http_options"]["host"],
            serve["http_options"]["port"],
        )
        assert config.serve.keys_uri


@pytest.mark.parametrize(
    ("command", "culprit"),
    [
        ("python jobs/embed.py --config /etc/mcmfh/ray_config.yaml embed.unit_item=3", "embed.unit_item"),
        ("python jobs/embed.py embed.unit_items=many", "embed.unit_items"),
        ("python jobs/embedd.py", "jobs/embedd.py"),
        ("python jobs/train.py train.bits", "section.key=value"),
        ("mcmfh submit hash store=s3://b/m archive.manifst=x", "archive.manifst"),
        ("mcmfh submit hsah", "hsah"),
        ("mcmfh sumbit hash", "sumbit"),
        ("mcmfh key new", "Missing argument"),
        ("mcmfh snapshots gc --kep 3", "--kep"),
        ("ray start --head --dashbord-host=127.0.0.1", "--dashbord-host"),
        ("/opt/mcmfh/.venv/bin/python jobs/serve.py serve.prot=8000", "serve.prot"),
    ],
)
def test_a_mistake_in_a_command_is_named(command, culprit, config_file):
    assert culprit in str(fault(command, config_file))


@pytest.mark.parametrize("line", ["  relicas: 2", "  host: [1]", "surve: {}"])
def test_a_mistake_in_a_site_configuration_is_named(line, tmp_path):
    text = (CLUSTER / "kuberay" / "overlays" / "cpu" / "ray_config.yaml").read_text()
    (tmp_path / "planted.yaml").write_text(f"{text}{line}\n")
    with pytest.raises(InputError, match=line.split(":")[0].strip()):
        load_site_config(tmp_path / "planted.yaml", [], tmp_path)


def test_what_has_come_is_no_longer_pending(tmp_path):
    """Take what this test names out of support/command_lines.py; with the last of it, the code that waits for it."""
    path = tmp_path / "one_key.yaml"
    for pending in PENDING_KEYS:
        section, key = pending.split(".")
        path.write_text(yaml.safe_dump({section: {key: 1}}))
        with pytest.raises(InputError, match=f"'{pending}' is not known"):
            load_config(path=str(path))


def test_the_configurations_still_name_what_is_pending():
    values = [yaml.safe_load(path.read_text()) for path in SITE_CONFIGS]
    for section, key in (pending.split(".") for pending in PENDING_KEYS):
        assert any(key in value.get(section, {}) for value in values), f"{section}.{key}"

"""serve.yaml deployed by Ray's own `serve deploy`, on a head node of this machine."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from support.command_lines import without_pending
from support.head_node import head_node
from support.manifests import CLUSTER

from mcmfh.processes import free_port
from mcmfh.serving.keys import new_key

pytestmark = pytest.mark.ray

SECRET, DIGEST = new_key()
SERVE = yaml.safe_load((CLUSTER / "kuberay" / "base" / "serve.yaml").read_text())


@pytest.fixture
def site(archive, cache, tmp_path) -> Path:
    """A ray_config.yaml as a site has one, of the overlay cpu, for the small archive on this machine."""
    config = without_pending(CLUSTER / "kuberay" / "overlays" / "cpu" / "ray_config.yaml")
    config["store"], _, name = archive.rpartition("/archives/")
    config["archive"]["name"] = name
    config["serve"] |= {"port": free_port(), "replicas": 1, "keys_uri": str(tmp_path / "keys.yaml")}
    (tmp_path / "keys.yaml").write_text(yaml.safe_dump([{"name": "ward", "sha256": DIGEST}], explicit_end=True))
    path = tmp_path / "ray_config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def deploy(node: dict[str, str], port: int, arguments: dict, file: Path | None = None) -> dict:
    """Deploy serve.yaml with `arguments` for those of the pods; returns the application's status.

    file: let Ray's command deploy it from there, instead of the address that the command calls.
    """
    document = {**SERVE, "http_options": {**SERVE["http_options"], "port": port}}
    document["applications"] = [{**SERVE["applications"][0], "args": arguments}]
    if file:
        file.write_text(yaml.safe_dump(document))
        command = [Path(sys.executable).with_name("serve"), "deploy", file, "-a", node["RAY_API_SERVER_ADDRESS"]]
        subprocess.run(command, env=node, check=True, timeout=120)
    else:
        call(node, document)
    for _ in range(1200):
        status = call(node)["applications"].get("mcmfh", {})
        if status.get("status") in ("RUNNING", "DEPLOY_FAILED"):
            return status
        time.sleep(0.1)
    raise AssertionError(status)


def call(node: dict[str, str], document: dict | None = None) -> dict:
    """Ray's address for Serve: GET, or PUT with a document."""
    token = Path(node["RAY_AUTH_TOKEN_PATH"]).read_text()
    request = urllib.request.Request(
        f"{node['RAY_API_SERVER_ADDRESS']}/api/serve/applications/",
        json.dumps(document).encode() if document else None,
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method="PUT" if document else "GET",
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read() or b"{}")


def version(port: int, key: str | None) -> dict:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/version", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def test_serve_yaml_deploys_and_refuses_what_is_open_or_misspelt(site, tmp_path):
    port = yaml.safe_load(site.read_text())["serve"]["port"]
    arguments = {**SERVE["applications"][0]["args"], "config": str(site)}
    refused = {
        "overides": {"overides": []},
        # The configuration says loopback; the address that counts is the one in serve.yaml.
        "listens on '0.0.0.0'": {"overrides": ["serve.keys_uri=null", "serve.host=127.0.0.1"]},
    }
    with head_node(tmp_path) as node:
        for said, change in refused.items():
            status = deploy(node, port, {**arguments, **change})
            assert status["status"] == "DEPLOY_FAILED", change
            assert said in status["message"], status["message"]

        status = deploy(node, port, arguments, tmp_path / "serve.yaml")
        assert status["status"] == "RUNNING", status["message"]
        with pytest.raises(urllib.error.HTTPError) as closed:
            version(port, None)
        assert closed.value.code == 401
        assert version(port, SECRET)["snapshot"] == 1

        status = deploy(node, port, {**arguments, "overrides": ["serve.keys_uri=null"]})
        assert "no access key is configured" in status["message"], status["message"]
        assert version(port, SECRET)["snapshot"] == 1

"""serve.yaml, read strictly: Ray's own schema lets misspelt keys pass in silence."""

import copy

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema
from support.manifests import CLUSTER, render
from support.strict_schemas import model_faults

SERVE = yaml.safe_load((CLUSTER / "kuberay" / "base" / "serve.yaml").read_text())


def test_serve_yaml_is_what_ray_serve_reads():
    assert model_faults(ServeDeploySchema, SERVE) == []


@pytest.mark.parametrize("overlay", ["cpu", "gpu", "minio"])
def test_the_rayservice_holds_serve_yaml(overlay):
    service = next(document for document in render(overlay) if document["kind"] == "RayService")
    assert yaml.safe_load(service["spec"]["serveConfigV2"]) == SERVE


@pytest.mark.parametrize(
    "change",
    [
        {"http_option": {"port": 8000}},
        {"proxy_location": "Everywhere"},
        {"http_options": {"host": "0.0.0.0", "prot": 8000}},
        {"applications": [{**SERVE["applications"][0], "runtime_envv": {}}]},
        {"applications": [{**SERVE["applications"][0], "argz": {}}]},
        {"applications": [{**SERVE["applications"][0], "deployments": [{"name": "Endpoint", "num_replica": 2}]}]},
    ],
)
def test_a_misspelt_key_is_a_fault(change):
    assert model_faults(ServeDeploySchema, {**copy.deepcopy(SERVE), **change})

"""cluster/aws.yaml, checked by Ray's autoscaler and by EC2's own model of RunInstances. Nothing is started."""

import copy
import json
from pathlib import Path
from typing import Any

import botocore.session
import jsonschema
import pytest
import ray.autoscaler
import yaml
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config
from support.manifests import CLUSTER, REPOSITORY, changed

CONFIG: dict[str, Any] = yaml.safe_load((CLUSTER / "aws.yaml").read_text())
CPU = "available_node_types.cpu.node_config"


def faults(config: dict[str, Any]) -> list[str]:
    """What Ray refuses of a `ray up` file, and what EC2 would refuse of its nodes."""
    try:
        validate_config(prepare_config(copy.deepcopy(config)))
    except (jsonschema.ValidationError, ValueError) as error:
        return [str(error)]
    shape = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    known = schema["properties"]["provider"]["properties"]  # Ray lets other keys pass here
    found = [f"provider.{key} is not known" for key in config["provider"] if key not in known]
    for name, node in config["available_node_types"].items():
        report = ParamValidator().validate({**node["node_config"], "MinCount": 1, "MaxCount": 1}, shape)
        found += [f"{name}: {report.generate_report()}"] if report.has_errors() else []
    return found


def test_ray_and_ec2_accept_it():
    assert faults(CONFIG) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("cluster_name", "@clustername"),
        ("provider.use_internal_ips", "@use_internal_ip"),
        ("idle_timeout_minutes", "five"),
        ("available_node_types.cpu.max_workers", "@max_worker"),
        ("head_node_type", "master"),
        (f"{CPU}.IamInstanceProfile", "@IamInstanceProfil"),
        (f"{CPU}.MetadataOptions.HttpTokens", "@HttpToken"),
        (f"{CPU}.MetadataOptions.HttpPutResponseHopLimit", "one"),
        (f"{CPU}.InstanceMarketOptions.SpotOptions.SpotInstanceType", "@SpotType"),
        (f"{CPU}.BlockDeviceMappings.0.Ebs.VolumeSize", "200"),
    ],
)
def test_a_misspelt_key_or_a_wrong_value_is_a_fault(path, value):
    planted = {**copy.deepcopy(CONFIG), "kind": "x", "metadata": {"name": "y"}}
    result = changed([planted], "x/y", path, value)[0]
    assert faults({key: one for key, one in result.items() if key not in ("kind", "metadata")})


def test_nodes_hold_a_role_and_answer_only_imdsv2():
    for name, node in CONFIG["available_node_types"].items():
        config = node["node_config"]
        assert config["IamInstanceProfile"]["Name"] == ("mcmfh-head" if name == "head" else "mcmfh-node")
        assert config["MetadataOptions"] == {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
        }
        assert all(disk["Ebs"]["Encrypted"] for disk in config["BlockDeviceMappings"])
        assert ("InstanceMarketOptions" in config) == (name != "head")
    assert "AWS_SECRET" not in (CLUSTER / "aws.yaml").read_text()


def test_files_that_the_nodes_use_travel_to_them():
    home = "/home/ubuntu/mcmfh"
    assert CONFIG["file_mounts"][home] == "."
    used = [line for key in CONFIG if key.endswith("_commands") for line in CONFIG[key]]
    for name in ("cluster/environment.sh", "cluster/kuberay/base/environment.env"):
        assert (REPOSITORY / name).is_file()
    assert sum(". cluster/environment.sh" in line for line in used) == 2

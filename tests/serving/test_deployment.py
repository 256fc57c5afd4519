"""What the endpoint asks of Ray Serve. Nothing runs here."""

import pytest

from mcmfh.config import Config
from mcmfh.errors import InputError
from mcmfh.serving.deployment import BuilderArguments, builder, serve_application


def asked(device: str = "cpu", **serve) -> dict:
    """Name → deployment of the application with these settings."""
    application = serve_application(Config.model_validate({"store": "file:///tmp/none", "serve": serve}), device)
    ingress = application._bound_deployment
    inner = [one._bound_deployment for one in ingress.init_args if hasattr(one, "_bound_deployment")]
    return {one.name: one for one in [ingress, *inner]}


@pytest.mark.parametrize("layout", ["single", "sharded"])
@pytest.mark.parametrize("most", [None, 1, 3])
def test_replicas_of_a_kind_on_a_node_are_bounded(layout, most):
    deployments = asked(layout=layout, replicas=4, max_replicas_per_node=most)
    assert len(deployments) == {"single": 1, "sharded": 4}[layout]
    assert {one._replica_config.max_replicas_per_node for one in deployments.values()} == {most}


@pytest.mark.parametrize("layout", ["single", "sharded"])
@pytest.mark.parametrize(
    ("replicas", "keys", "shared"),
    [
        ({"replicas": 2}, {"keys_uri": "keys.yaml"}, True),
        ({"max_replicas": 8}, {"keys": [{"name": "ward", "sha256": "0" * 64}]}, True),
        ({"replicas": 2}, {}, False),
        ({"replicas": 1}, {"keys_uri": "keys.yaml"}, False),
    ],
)
def test_replicas_that_ask_for_keys_share_their_rates(layout, replicas, keys, shared):
    deployments = asked(layout=layout, **replicas, **keys)
    assert ("Rates" in deployments) == shared
    assert not shared or deployments["Rates"].ray_actor_options == {"num_cpus": 0}


@pytest.mark.parametrize(("layout", "encodes"), [("single", "Endpoint"), ("sharded", "Encoders")])
@pytest.mark.parametrize(
    ("device", "share", "gpus"), [("cuda", None, 1), ("cuda", 0.25, 0.25), ("cpu", 0.5, 0.5), ("cpu", None, 0)]
)
def test_who_encodes_asks_for_a_share_of_a_gpu(layout, encodes, device, share, gpus):
    for name, one in asked(device, layout=layout, num_gpus=share).items():
        assert one.ray_actor_options.get("num_gpus", 0) == (gpus if name == encodes else 0)


def test_the_number_of_replicas_follows_the_load_between_bounds():
    scaling = asked(replicas=2, max_replicas=6, target_ongoing_requests=3.5)["Endpoint"]._deployment_config
    assert scaling.autoscaling_config.min_replicas == 2
    assert scaling.autoscaling_config.max_replicas == 6
    assert scaling.autoscaling_config.target_ongoing_requests == 3.5
    assert asked(replicas=2, max_replicas=2)["Endpoint"]._deployment_config.autoscaling_config is None


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ({"overrides": ["serve.host=0.0.0.0"]}, "no access key is configured"),
        ({"overrides": ["serve.hots=0.0.0.0"]}, "serve.hots"),
        ({"config": "/nowhere/ray_config.yaml"}, "/nowhere/ray_config.yaml"),
        ({"overrides": ["serve.keys_uri=/nowhere/keys.yaml"]}, "/nowhere/keys.yaml"),
    ],
)
def test_the_builder_refuses_what_a_job_refuses(arguments, culprit):
    with pytest.raises(InputError, match=culprit):
        builder(BuilderArguments.model_validate(arguments))

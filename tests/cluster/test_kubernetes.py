"""Kubernetes' own view of the files: each key is one that the API knows, and what they name exists."""

import base64
import binascii
import functools

import pytest
import yaml
from support.manifests import (
    CLUSTER,
    OVERLAYS,
    REPOSITORY,
    SECRETS,
    changed,
    named,
    pods,
    ray_cluster,
    ray_groups,
    render,
    secrets,
)
from support.references import dangling, group_sums
from support.strict_schemas import faults

from mcmfh import ray_session

overlay_objects = functools.cache(render)
IMAGES = {f"registry.example.org/mcmfh:0.1.0-{target}" for target in ("cpu", "cuda")}
# Not built here; its name is a release of its makers.
IMAGES |= {"quay.io/minio/minio:RELEASE.2025-04-22T22-12-26Z"}
STAGES = {"cluster", "embed", "train", "hash", "pretrain", "endpoint", "nightly", "monitoring"}

HEAD = "spec.headGroupSpec.template.spec"
WORKER = "spec.rayClusterConfig.workerGroupSpecs.0.template"
CRON = "spec.jobTemplate.spec.template.spec.containers.0"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_key_is_one_that_the_api_knows(overlay):
    wrong = {named(one): found for one in overlay_objects(overlay) if (found := faults(one))}
    assert not wrong


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("RayCluster/mcmfh", "spec.authOptions.mode", "tokens"),
        ("RayCluster/mcmfh", "spec.authOptions.secretName", "@secret"),
        ("RayCluster/mcmfh", "spec.workerGroupSpecs.0.maxReplicas", "@maxReplica"),
        ("RayCluster/mcmfh", f"{HEAD}.containers.0.envFrom.0.configMapRef", "@configMap"),
        ("RayCluster/mcmfh", "spec.autoscalerOptions.idleTimeoutSeconds", "300"),
        ("RayService/mcmfh-endpoint", "spec.serveConfigV2", "@serveConfig"),
        ("RayService/mcmfh-endpoint", f"{WORKER}.spec.containers.0.readinessProbe.httpGet", "@http"),
        ("RayJob/mcmfh-hash", "spec.entrypoint", "@entryPoint"),
        ("CronJob/mcmfh-nightly-hash", "spec.startingDeadlineSeconds", "an hour"),
        ("CronJob/mcmfh-nightly-hash", f"{CRON}.volumeMounts.0.mountPath", "@path"),
        ("NetworkPolicy/mcmfh", "spec.policyTypes", "@policyType"),
        ("NetworkPolicy/mcmfh", "spec.egress.1.ports.0.port", "@prot"),
        ("PodMonitor/mcmfh", "spec.podMetricsEndpoints.0.interval", "@intervall"),
        ("PodMonitor/mcmfh", "spec.selector", None),
        ("PrometheusRule/mcmfh", "spec.groups.0.rules.0.for", "@fort"),
        ("PodDisruptionBudget/mcmfh-endpoint", "spec.maxUnavailable", "@maxUnavailabel"),
        ("Ingress/mcmfh-endpoint", "spec.rules.0.http.paths.0.pathType", None),
        ("Deployment/minio", "spec.template.spec.securityContext.runAsNonRoot", "@runAsNoneRoot"),
        ("ServiceAccount/mcmfh", "automountServiceAccountToken", "@automountToken"),
        ("ResourceQuota/mcmfh", "spec.hard", "@heard"),
    ],
)
def test_a_misspelt_key_or_a_wrong_value_is_a_fault(kind, path, value):
    objects = overlay_objects("minio")
    planted = next(one for one in changed(objects, kind, path, value) if named(one) == kind)
    assert faults(planted)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_one_file_names_exists_in_another(overlay):
    assert dangling(overlay_objects(overlay), secrets(), IMAGES) == []


@pytest.mark.parametrize(
    ("kind", "path", "value", "culprit"),
    [
        ("RayCluster/mcmfh", "spec.authOptions.secretName", "mcmfh-token", "mcmfh-token"),
        ("RayCluster/mcmfh", f"{HEAD}.containers.0.image", "mcmfh:latest", "mcmfh:latest"),
        ("RayCluster/mcmfh", f"{HEAD}.containers.0.envFrom.1.secretRef.name", "s3", "no Secret 's3'"),
        ("RayCluster/mcmfh", f"{HEAD}.containers.0.volumeMounts.2.name", "spill", "spill"),
        ("RayCluster/mcmfh", f"{HEAD}.containers.0.livenessProbe.httpGet.port", "health", "health"),
        ("RayCluster/mcmfh", f"{HEAD}.containers.0.ports.1.containerPort", 8266, "mcmfh-head-svc"),
        ("RayCluster/mcmfh", f"{HEAD}.volumes.3.configMap.name", "mcmfh-conf", "mcmfh-conf"),
        ("RayCluster/mcmfh", f"{HEAD}.serviceAccountName", "head", "no ServiceAccount 'head'"),
        ("RayCluster/mcmfh", f"{HEAD}.priorityClassName", "low", "no PriorityClass 'low'"),
        ("RayCluster/mcmfh", "spec.autoscalerOptions.volumeMounts.0.name", "temporary", "temporary"),
        ("RayCluster/mcmfh", "metadata.name", "mcmfh-jobs", "no RayCluster 'mcmfh'"),
        ("RayCluster/mcmfh", "spec.headGroupSpec.template.metadata.labels.app~kubernetes~io/part-of", "x", "address"),
        ("RayService/mcmfh-endpoint", "metadata.name", "mcmfh", "mcmfh-endpoint-serve-svc"),
        ("RayService/mcmfh-endpoint", f"{WORKER}.spec.containers.0.ports.2.containerPort", 8001, "8000"),
        ("RayService/mcmfh-endpoint", f"{WORKER}.spec.containers.0.volumeMounts.4.mountPath", "/etc/keys", "keys.yaml"),
        ("RayService/mcmfh-endpoint", f"{WORKER}.spec.volumes.4.secret.secretName", "keys", "keys"),
        ("RayService/mcmfh-endpoint", f"{WORKER}.metadata.labels.mcmfh/node", "replica", "no pod has the labels"),
        ("RayJob/mcmfh-train", "spec.entrypoint", "python x.py --config /etc/mcmfh/ray_config.yaml", "not mounted"),
        ("CronJob/mcmfh-nightly-hash", f"{CRON}.env.1.valueFrom.secretKeyRef.key", "token", "'token'"),
        ("CronJob/mcmfh-nightly-hash", f"{CRON}.args.3", "--address=http://ray-head:8265", "ray-head"),
        ("CronJob/mcmfh-nightly-hash", f"{CRON}.args.5", "/etc/mcmfh/config/config.yaml", "config.yaml"),
        ("NetworkPolicy/mcmfh-operator", "spec.ingress.0.ports.0.port", 8625, "8625"),
        ("NetworkPolicy/mcmfh", "spec.egress.1.ports.1.port", 54, "address"),
        ("NetworkPolicy/mcmfh", "spec.ingress.0.from.0.podSelector.matchLabels", {"app": "x"}, "'x'"),
        ("PodMonitor/mcmfh", "spec.podMetricsEndpoints.0.port", "metric", "'metric'"),
        ("PodMonitor/mcmfh-endpoint", "spec.podMetricsEndpoints.0.authorization.credentials.key", "token", "token"),
        ("Ingress/mcmfh-endpoint", "spec.tls.0.secretName", "tls", "'tls'"),
        ("Ingress/mcmfh-endpoint", "spec.rules.0.http.paths.0.backend.service.port.number", 80, "80"),
        ("Deployment/minio", "spec.template.spec.containers.0.ports.0.name", "api", "s3"),
        ("ConfigMap/mcmfh-environment", "data.AWS_ENDPOINT_URL", "http://minio:9001", "9001"),
        ("ConfigMap/mcmfh-config", "data.ray_config~yaml", "@config.yaml", "ray_config.yaml"),
    ],
)
def test_a_name_that_leads_nowhere_is_a_fault(kind, path, value, culprit):
    found = dangling(changed(overlay_objects("minio"), kind, path, value), secrets(), IMAGES)
    assert any(culprit in one for one in found), found


def test_the_example_of_secrets_cannot_be_applied_unread():
    for secret in secrets():
        assert not faults(secret)
        for value in secret["data"].values():
            with pytest.raises(binascii.Error):
                base64.b64decode(value, validate=True)
    assert len(list(yaml.safe_load_all(SECRETS.read_text()))) == len({named(one) for one in secrets()})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_has_a_stage_that_the_readme_applies(overlay):
    assert {one["metadata"]["labels"]["stage"] for one in overlay_objects(overlay)} == STAGES
    told = (CLUSTER / "README.md").read_text()
    assert all(f"stage={stage}" in told for stage in STAGES)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_is_unprivileged_on_a_read_only_root(overlay):
    for pod in [pod for document in overlay_objects(overlay) for pod in pods(document)]:
        assert pod.spec["securityContext"]["runAsNonRoot"], pod.owner
        assert pod.spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, pod.owner
        for container in pod.containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }, pod.owner
            assert {"cpu", "memory", "ephemeral-storage"} <= set(container["resources"]["limits"]), pod.owner
    for document in overlay_objects(overlay):
        if cluster := ray_cluster(document):
            assert cluster["rayVersion"] == _locked_ray()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_spilled_objects_go_to_a_bounded_volume(overlay):
    for document in overlay_objects(overlay):
        for name, group in ray_groups(document):
            folder = group["rayStartParams"]["object-spilling-directory"]
            pod = group["template"]["spec"]
            mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
            volume = next(one for one in pod["volumes"] if one["name"] == mounts[folder])
            limits = [one["emptyDir"]["sizeLimit"] for one in pod["volumes"] if "emptyDir" in one]
            assert volume["emptyDir"]["sizeLimit"] in limits
            asked = pod["containers"][0]["resources"]["requests"]["ephemeral-storage"]
            assert sum(int(limit.removesuffix("Gi")) for limit in limits) <= int(asked.removesuffix("Gi")), name


def test_every_ray_node_has_the_environment_that_the_code_sets_on_a_laptop():
    environment = next(one for one in overlay_objects("cpu") if named(one) == "ConfigMap/mcmfh-environment")["data"]
    # Whether to ask the cloud for an identity is the site's own choice.
    wanted = {**ray_session.ENVIRONMENT, **ray_session.FAST_PROXY_ENVIRONMENT}
    wanted.pop("AWS_EC2_METADATA_DISABLED", None)
    assert {name: environment.get(name) for name in wanted} == wanted
    for overlay in OVERLAYS:
        for document in overlay_objects(overlay):
            for name, group in ray_groups(document):
                sources = group["template"]["spec"]["containers"][0]["envFrom"]
                assert {"configMapRef": {"name": "mcmfh-environment"}} in sources, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_limits_agree(overlay):
    """What the jobs may ask for is what the autoscaler may start, and the quota lets both clusters reach their size.

    While a new image is rolled out there are two endpoints.
    """
    objects = {named(one): one for one in overlay_objects(overlay)}
    config = yaml.safe_load(objects["ConfigMap/mcmfh-config"]["data"]["ray_config.yaml"])
    jobs = group_sums(objects["RayCluster/mcmfh"])
    endpoint = group_sums(objects["RayService/mcmfh-endpoint"])
    assert config["cluster"]["max_cpus"] == jobs["worker_cpu"]
    assert config["cluster"].get("max_gpus", 0) == jobs["worker_gpu"]
    quota = objects["ResourceQuota/mcmfh"]["spec"]["hard"]
    assert jobs["cpu"] + 2 * endpoint["cpu"] < float(quota["requests.cpu"])
    assert jobs["memory"] + 2 * endpoint["memory"] < float(quota["requests.memory"].removesuffix("Gi"))
    assert jobs["gpu"] + 2 * endpoint["gpu"] <= float(quota["requests.nvidia.com/gpu"])
    replicas = objects["RayService/mcmfh-endpoint"]["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["maxReplicas"]
    assert config["serve"]["replicas"] <= replicas * config["serve"]["max_replicas_per_node"]
    if overlay == "gpu":
        assert config["encoder"]["use_gpu"] is True


def _locked_ray() -> str:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    return next(line.removeprefix("ray==") for line in lines if line.startswith("ray=="))

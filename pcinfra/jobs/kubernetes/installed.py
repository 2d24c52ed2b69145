"""What a cluster has for jobs, and what it lacks: read in a few calls, never changed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pcinfra.errors import AccessDenied, NotFound
from pcinfra.jobs.kubernetes.api import Api
from pcinfra.jobs.kubernetes.check import Schemas
from pcinfra.jobs.kubernetes.dialect import Dialect, dialect_of
from pcinfra.jobs.kubernetes.rbac import RIGHTS, Right
from pcinfra.jobs.kubernetes.reading import JOBSET, Object, Reading
from pcinfra.jobs.kubernetes.render.runtimes import RUNTIMES

TRAINER, OPERATOR = "v2.1.0", "v1.8.1"
# Pinned: what a tag names today is what was read and tested; `kubectl apply --server-side -k` fetches them.
SOURCES = {
    "Kubeflow Trainer": f"https://github.com/kubeflow/trainer.git/manifests/overlays/manager?ref={TRAINER}",
    "training operator": f"https://github.com/kubeflow/training-operator.git/manifests/overlays/standalone?ref={OPERATOR}",
}
_DEPLOYMENTS = {
    "Kubeflow Trainer": ("kubeflow-system", "kubeflow-trainer-controller-manager"),
    "training operator": ("kubeflow", "training-operator"),
    "JobSet": ("kubeflow-system", "jobset-controller-manager"),
}
_APIS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that jobs need, whether it is there, and the command that brings it."""

    name: str
    there: bool
    about: str
    remedy: str = ""


def parts(api: Api) -> list[Part]:
    """Return what there is, in the order in which it must be installed."""
    reading = Reading(api)
    return [*_operators(reading), *_runtimes(reading), rights_part(api)]


def missing_runtimes(api: Api) -> list[Object]:
    """Return the runtimes that job files name and the cluster lacks, for the Trainer that it has."""
    dialect = _dialect(Reading(api))
    there = _runtime_names(api)
    return [make(dialect) for name, make in RUNTIMES.items() if dialect is not None and name not in there]


def may(api: Api) -> Iterator[tuple[Right, str, bool]]:
    """Ask the server for every right, and yield it with its verb and the answer."""
    for right in RIGHTS:
        resource, _, sub = right.resource.partition("/")
        for verb in right.verbs:
            attributes = {"group": right.group, "resource": resource, "subresource": sub, "verb": verb}
            attributes |= {"name": right.names[0]} if right.names else {}
            attributes |= {} if right.everywhere else {"namespace": api.namespace}
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            }
            answer = api.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
            yield right, verb, bool((answer.get("status") or {}).get("allowed"))


def grant(api: Api, objects: Sequence[Object]) -> None:
    """Make what gives rights, or bring what is there to it: server-side apply, under our name.

    Raises:
        AccessDenied: who gives rights must have them.
    """
    for each in objects:
        group = each["apiVersion"].partition("/")
        base = f"/apis/{each['apiVersion']}" if group[1] else "/api/v1"
        place = f"namespaces/{each['metadata']['namespace']}/" if "namespace" in each["metadata"] else ""
        path = f"{base}/{place}{each['kind'].lower()}s/{each['metadata']['name']}"
        asked: dict[str, str | int] = {"fieldManager": "pcinfra", "force": "true"}
        api.call("PATCH", path, asked, each, kind="application/apply-patch+yaml")


def rights_part(api: Api) -> Part:
    """Return whether we have the rights that a submission needs."""
    missing = [f"{verb} {right.full}" for right, verb, ok in may(api) if not ok]
    about = f"lacks {len(missing)}, {missing[0]} first" if missing else "all that a submission needs"
    return Part(f"rights in {api.namespace}", not missing, about, "pcinfra k8s can-i" + api.on if missing else "")


def _operators(reading: Reading) -> Iterator[Part]:
    schemas = _schemas(reading)
    for name, kind in (("Kubeflow Trainer", "TrainJob"), ("training operator", "PyTorchJob")):
        installed = kind in schemas.resources
        remedy = f"kubectl apply --server-side -k '{SOURCES[name]}'"
        about = f"{kind}s are known" if installed else f"no {kind}s"
        if installed and kind == "TrainJob":
            about = f"as of {dialect_of(schemas.resources[kind].root)}; {about}"
        yield Part(name, installed, f"{about}; {_deployment(reading.api, name)}" if installed else about, remedy)
    if "TrainJob" in schemas.resources:
        there = _exists(reading.api, f"{_APIS}/{JOBSET}")
        about = _deployment(reading.api, "JobSet") if there else "TrainJobs get no pods without it"
        yield Part("JobSet", there, about, f"kubectl apply --server-side -k '{SOURCES['Kubeflow Trainer']}'")


def _runtimes(reading: Reading) -> Iterator[Part]:
    if _dialect(reading) is None:
        return
    there = _runtime_names(reading.api)
    for name in RUNTIMES:
        yield Part(f"runtime {name}", name in there, "" if name in there else "job files may name it", "")


def _schemas(reading: Reading) -> Schemas:
    try:
        return reading.schemas
    except NotFound:
        return Schemas({})


def _dialect(reading: Reading) -> Dialect | None:
    return _schemas(reading).dialect


def _runtime_names(api: Api) -> set[str]:
    """Return which of our runtimes are there: asked for by name, which who submits may."""
    base = "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes"
    return {name for name in RUNTIMES if _exists(api, f"{base}/{name}")}


def _deployment(api: Api, name: str) -> str:
    """Say whether the controller runs, as far as we may look."""
    namespace, deployment = _DEPLOYMENTS[name]
    try:
        found = api.call("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}")
    except AccessDenied:
        return "its controller is not ours to see"
    except NotFound:
        return f"no deployment {namespace}/{deployment}"
    ready = int((found.get("status") or {}).get("readyReplicas") or 0)
    return f"{ready} of {(found.get('spec') or {}).get('replicas', 1)} controllers ready"


def _exists(api: Api, path: str) -> bool:
    try:
        api.call("GET", path)
    except NotFound:
        return False
    except AccessDenied:
        return True  # not ours to see
    return True

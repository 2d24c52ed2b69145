"""A job as a kustomize base and overlays, with parameters that change exactly what they name.

``base`` starts the command as it is, ``overlays/ddp`` makes torchrun of it by a JSON6902 patch, and
``overlays/custom-url`` takes parameters from ``params.env``: the number of workers, the instance type, the image, and
every variable of the job file. A parameter never replaces a script: it is a variable that the script reads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pcinfra.jobs.kubernetes.render.expansion import literal
from pcinfra.jobs.kubernetes.render.model import Object, Rendered
from pcinfra.jobs.kubernetes.text import to_yaml
from pcinfra.jobs.spec import JobSpec

PARAMS = "params.env"
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
_ESCAPED = INSTANCE_TYPE.replace(".", r"\.")
_API = "kustomize.config.k8s.io/v1beta1"
_GENERATED = "job-params"


class Parameter(NamedTuple):
    """A parameter, its value now, and the paths that it fills."""

    name: str
    value: str
    paths: list[str]


def render(rendered: Rendered, plain: Rendered | None, spec: JobSpec, name: str) -> dict[str, str]:
    """Return the files of a kustomize tree.

    Args:
        rendered: the job as it shall run.
        plain: the same without torchrun, which the base then is; None leaves out ``overlays/ddp``.
        name: of the job; it does not change from run to run, so that applying it again is the same job.
    """
    base = plain or rendered
    resources = {"job.yaml": [base.job], "files.yaml": list(base.objects[1:])}
    files = {f"base/{file}": to_yaml(objects) for file, objects in resources.items() if objects}
    files["base/kustomization.yaml"] = _kustomization(
        resources=[file for file, objects in resources.items() if objects]
    )
    below = "../../base"
    if plain is not None:
        files["overlays/ddp/kustomization.yaml"] = _kustomization(
            resources=[below], patches=[_patch(rendered.job, plain.job, name)]
        )
        below = "../ddp"
    settable = parameters(rendered.job, spec)
    files["overlays/custom-url/kustomization.yaml"] = _parametrised(below, settable, rendered.job["kind"], name)
    files[f"overlays/custom-url/{PARAMS}"] = "".join(f"{key}={value}\n" for key, value, _ in settable)
    return files


def parameters(job: Object, spec: JobSpec) -> list[Parameter]:
    """Return what can be set in ``params.env``. A value with a line break cannot travel in such a file."""
    found, environments = _of_trainjob(job) if job["kind"] == "TrainJob" else _of_pytorchjob(job, spec)
    for variable, value in spec.environment.items():
        if "\n" not in value:
            paths = [f"{at}.[name={variable}].value" for at in environments]
            found.append(Parameter(variable, literal(value), paths))
    return found


def _of_trainjob(job: Object) -> tuple[list[Parameter], list[str]]:
    trainer = job["spec"]["trainer"]
    found = [
        Parameter("NUM_NODES", str(trainer["numNodes"]), ["spec.trainer.numNodes"]),
        Parameter("IMAGE", trainer["image"], ["spec.trainer.image"]),
    ]
    return found, ["spec.trainer.env"]


def _of_pytorchjob(job: Object, spec: JobSpec) -> tuple[list[Parameter], list[str]]:
    replicas = job["spec"]["pytorchReplicaSpecs"]
    pods = [f"spec.pytorchReplicaSpecs.{name}.template.spec" for name in replicas]
    found = []
    if "Worker" in replicas:
        path = "spec.pytorchReplicaSpecs.Worker.replicas"
        found.append(Parameter("NUM_WORKERS", str(replicas["Worker"]["replicas"]), [path]))
    image = next(iter(replicas.values()))["template"]["spec"]["containers"][0]["image"]
    found.append(Parameter("IMAGE", image, [f"{pod}.containers.[name=pytorch].image" for pod in pods]))
    instance = spec.kubernetes.node_selector.get(INSTANCE_TYPE)
    if instance:
        found.append(Parameter("INSTANCE_TYPE", instance, [f"{pod}.nodeSelector.{_ESCAPED}" for pod in pods]))
    return found, [f"{pod}.containers.[name=pytorch].env" for pod in pods]


def _parametrised(below: str, found: list[Parameter], kind: str, name: str) -> str:
    replacements = [
        {
            "source": {"kind": "ConfigMap", "name": _GENERATED, "fieldPath": f"data.{key}"},
            "targets": [{"select": {"kind": kind, "name": name}, "fieldPaths": paths}],
        }
        for key, _, paths in found
    ]
    generator = {
        "name": _GENERATED,
        "envs": [PARAMS],
        # It is there for the replacements, and is not sent to the cluster.
        "options": {"disableNameSuffixHash": True, "annotations": {"config.kubernetes.io/local-config": "true"}},
    }
    return _kustomization(resources=[below], configMapGenerator=[generator], replacements=replacements)


def _patch(job: Object, plain: Object, name: str) -> Object:
    """Return the JSON6902 patch that makes ``job`` of ``plain``: commands, and processes per node."""
    changes: list[Object] = []
    for path, container, before in _containers(job, plain):
        if "name" in container:
            changes.append({"op": "test", "path": f"{path}/name", "value": container["name"]})
        if container["command"] != before["command"]:
            changes.append({"op": "replace", "path": f"{path}/command", "value": container["command"]})
        if container.get("env") != before.get("env"):
            changes.append({"op": "replace", "path": f"{path}/env", "value": container["env"]})
    field = "/spec/trainer/numProcPerNode" if job["kind"] == "TrainJob" else "/spec/nprocPerNode"
    changes.append({"op": "replace", "path": field, "value": _at(job, field)})
    return {"target": {"kind": job["kind"], "name": name}, "patch": to_yaml_list(changes)}


def _containers(job: Object, plain: Object) -> list[tuple[str, Object, Object]]:
    if job["kind"] == "TrainJob":
        return [("/spec/trainer", job["spec"]["trainer"], plain["spec"]["trainer"])]
    return [
        (
            f"/spec/pytorchReplicaSpecs/{name}/template/spec/containers/0",
            replica["template"]["spec"]["containers"][0],
            plain["spec"]["pytorchReplicaSpecs"][name]["template"]["spec"]["containers"][0],
        )
        for name, replica in job["spec"]["pytorchReplicaSpecs"].items()
    ]


def _at(value: Any, path: str) -> Any:
    for step in path.strip("/").split("/"):
        value = value[step]
    return value


def to_yaml_list(changes: list[Object]) -> str:
    """Return the operations of a patch as the YAML list that kustomize wants as text."""
    lines = (to_yaml([change]).rstrip("\n").split("\n") for change in changes)
    return "".join("- " + "\n  ".join(block) + "\n" for block in lines)


def _kustomization(**fields: Any) -> str:
    return to_yaml([{"apiVersion": _API, "kind": "Kustomization", **fields}])

"""What the operators make of a job: the pods' variables and commands, by the rules of their sources.

TrainJob: kubeflow/trainer, ``pkg/runtime/framework/plugins/torch/torch.go``. PyTorchJob: kubeflow/training-operator
v1.8.1, ``pkg/controller.v1/pytorch/envvar.go`` and ``elastic.go``. kubelet: ``third_party/forked/golang/expansion``.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pcinfra.jobs.kubernetes.render.expansion import expanded

Object = Mapping[str, Any]


def trainjob_pod(job: Object, index: int) -> tuple[list[str], dict[str, str]]:
    """Return command and variables of the pod of node ``index``."""
    name, trainer = job["metadata"]["name"], job["spec"]["trainer"]
    own = {
        "PET_NNODES": str(trainer["numNodes"]),
        "PET_NPROC_PER_NODE": str(trainer.get("numProcPerNode", "auto")),
        "PET_NODE_RANK": str(index),
        "PET_MASTER_ADDR": f"{name}-node-0-0.{name}",
        "PET_MASTER_PORT": "29500",
        "JOB_COMPLETION_INDEX": str(index),
    }
    return _pod(trainer, own)


def pytorchjob_pod(job: Object, kind: str, index: int) -> tuple[list[str], dict[str, str]]:
    """Return command and variables of the pod of a Master or Worker."""
    name, spec = job["metadata"]["name"], job["spec"]
    replicas = spec["pytorchReplicaSpecs"]
    own = {"PYTHONUNBUFFERED": "1", "PET_NPROC_PER_NODE": spec["nprocPerNode"]}
    if "Master" in replicas:
        total = sum(replica["replicas"] for replica in replicas.values())
        rank = str(index + (kind == "Worker"))
        own |= {"PET_MASTER_ADDR": f"{name}-master-0", "PET_MASTER_PORT": "23456", "PET_NNODES": str(total)}
        own |= {"PET_NODE_RANK": rank, "RANK": rank}
    elastic = spec.get("elasticPolicy")
    if elastic:
        own |= {
            "PET_RDZV_ENDPOINT": f"{name}-worker-0:23456",
            "PET_RDZV_BACKEND": elastic["rdzvBackend"],
            "PET_RDZV_ID": elastic["rdzvId"],
            "PET_NNODES": f"{elastic['minReplicas']}:{elastic['maxReplicas']}",
            "PET_MAX_RESTARTS": str(elastic["maxRestarts"]),
        }
    return _pod(replicas[kind]["template"]["spec"]["containers"][0], own)


def moved(text: str, folder: Path) -> str:
    """Return ``text`` with what is below ``/pcinfra/`` in a pod below ``folder``, and other paths as they are."""
    return re.sub(r"(?<![\w/])/pcinfra/", lambda _: f"{folder}/", text)


def run(command: list[str], variables: Mapping[str, str], programs: Path) -> list[str]:
    """Run a pod's command here with the ``programs`` first in its path; return the lines that it prints."""
    env = {**variables, "PATH": f"{programs}:/usr/bin:/bin"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def _pod(container: Object, own: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    values = dict(own)
    for variable in container.get("env") or ():
        values[variable["name"]] = expanded(variable["value"], values)
    return [expanded(word, values) for word in container["command"]], values

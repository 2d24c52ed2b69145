"""The training operator's webhook, and what its controller does not survive (v1.8.1, ``pkg/webhooks/pytorch``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pcinfra.jobs.kubernetes.rules.model import PYTORCHJOB, Broken, Rule, Surroundings, down

_REPLICAS = ("spec", "pytorchReplicaSpecs")


def _kinds(value: Mapping[str, Any], around: Surroundings) -> Broken:
    replicas = down(value, *_REPLICAS) or {}
    for name in replicas:
        if name not in ("Master", "Worker"):
            yield (*_REPLICAS, name), "is no replica of a PyTorchJob", "Master or Worker"
    if not replicas:
        yield _REPLICAS, "is empty: the job has no pods", "Worker: {...}"


def _container(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for name, replica in (down(value, *_REPLICAS) or {}).items():
        path = (*_REPLICAS, name, "template", "spec", "containers")
        containers = down(replica, "template", "spec", "containers") or []
        named = [number for number, container in enumerate(containers) if container.get("name") == "pytorch"]
        if not named:
            yield path, "must have a container called pytorch", "name: pytorch"
        for number in named:
            if not containers[number].get("image"):
                yield (*path, number, "image"), "is missing", "image: ..."


def _master(value: Mapping[str, Any], around: Surroundings) -> Broken:
    master = down(value, *_REPLICAS, "Master")
    if master is not None and master.get("replicas") != 1:
        said = "is not written" if master.get("replicas") is None else f"is {master['replicas']}"
        yield (*_REPLICAS, "Master", "replicas"), f"must be written as 1, and {said}", "1"


def _processes(value: Mapping[str, Any], around: Surroundings) -> Broken:
    count = down(value, "spec", "nprocPerNode")
    if count is not None and down(value, "spec", "elasticPolicy", "nProcPerNode") is not None:
        path = ("spec", "elasticPolicy", "nProcPerNode")
        yield path, "must not be given together with spec.nprocPerNode", "remove it"
    if count is not None and count not in ("auto", "cpu", "gpu") and not str(count).isdigit():
        yield ("spec", "nprocPerNode"), f"{count!r} must be auto, cpu, gpu or a number in quotes", '"8"'


def _workers(value: Mapping[str, Any], around: Surroundings) -> Broken:
    if down(value, "spec", "elasticPolicy") is not None and down(value, *_REPLICAS, "Worker") is None:
        yield ("spec", "elasticPolicy"), "needs Worker: its rendezvous is in worker 0", "Worker: {...}"


def _address(value: Mapping[str, Any], around: Surroundings) -> Broken:
    replicas = down(value, *_REPLICAS) or {}
    alone = replicas.keys() == {"Worker"} and (replicas["Worker"].get("replicas") or 1) > 1
    if alone and down(value, "spec", "elasticPolicy") is None:
        yield _REPLICAS, "has workers without Master and without elasticPolicy", "Master: {replicas: 1, ...}"


def _range(value: Mapping[str, Any], around: Surroundings) -> Broken:
    policy = down(value, "spec", "elasticPolicy") or {}
    least, most = policy.get("minReplicas"), policy.get("maxReplicas")
    if isinstance(least, int) and isinstance(most, int) and least > most:
        yield ("spec", "elasticPolicy", "minReplicas"), f"{least} is more than maxReplicas, {most}", str(most)
    replicas = down(value, *_REPLICAS, "Worker", "replicas")
    if isinstance(replicas, int) and isinstance(least, int) and replicas < least:
        yield (*_REPLICAS, "Worker", "replicas"), f"{replicas} is less than minReplicas, {least}", str(least)
    restarts = policy.get("maxRestarts")
    if isinstance(restarts, int) and restarts < 0:
        yield ("spec", "elasticPolicy", "maxRestarts"), f"must be 0 or more, and is {restarts}", "100"


_WEBHOOK = "kubeflow/training-operator v1.8.1, pkg/webhooks/pytorch/pytorchjob_webhook.go"
_CONTROLLER = "kubeflow/training-operator v1.8.1, pkg/controller.v1/pytorch"
RULES = (
    Rule("replica-kinds", (PYTORCHJOB,), _WEBHOOK, "", _kinds),
    Rule("pytorch-container", (PYTORCHJOB,), _WEBHOOK, "", _container),
    Rule("one-master", (PYTORCHJOB,), _WEBHOOK, "", _master),
    Rule("processes", (PYTORCHJOB,), _WEBHOOK, "", _processes),
    Rule("elastic-workers", (PYTORCHJOB,), f"{_CONTROLLER}/elastic.go", "the operator crashes on it", _workers),
    Rule(
        "address",
        (PYTORCHJOB,),
        f"{_CONTROLLER}/envvar.go",
        "no pod is told an address, and torchrun waits for ever",
        _address,
    ),
    Rule(
        "elastic-range",
        (PYTORCHJOB,),
        "torch, distributed/launcher/api.py; torch/distributed/elastic/agent/server/api.py: max_restarts >= 0",
        "torchrun refuses it in every pod, or waits for nodes that never come",
        _range,
    ),
)

"""Jobs that several tests render."""

from __future__ import annotations

from typing import Any

from pcinfra.jobs.kubernetes.render.model import Job
from pcinfra.jobs.spec import JobSpec

RUN = "train-1m80k0n9v1brna4m"

FULL: dict[str, Any] = {
    "name": "train",
    "image": "docker://registry#team/train:1",
    "launcher": "torchrun",
    "script": "train.sh",
    "args": ["--note", "$(date) $$HOME"],
    "nodes": 4,
    "gpus": 8,
    "cpus": 96,
    "memory": 1024,
    "restarts": 3,
    "requeue": 2,
    "time_limit": "2:00:00",
    "environment": {"EPOCHS": "3", "NOTE": "a $(b) $$ c"},
    "data": "/lustre/data",
    "checkpoints": "/lustre/checkpoints",
    "mounts": [{"source": "/lustre/models", "target": "/models", "read_only": True}],
    "kubernetes": {
        "namespace": "team-a",
        "volumes": [{"path": "/lustre", "claim": "fsx"}, {"path": "/scratch", "scratch": 100}],
        "shared_memory": 64,
        "devices": {"vpc.amazonaws.com/efa": 32},
        "node_selector": {"karpenter.sh/nodepool": "gpu"},
        "tolerations": [{"key": "team", "operator": "Equal", "value": "a"}],
        "queue": "team-a",
        "service_account": "trainer",
        "pull_secrets": ["registry"],
    },
}
PLAIN: dict[str, Any] = {"name": "plain", "image": "python:3.12", "command": ["python3", "-c", "print(1)"], "cpus": 1}
TENSORFLOW: dict[str, Any] = {
    "name": "tf",
    "image": "tensorflow/tensorflow:2.15.0-gpu",
    "command": ["python3", "/models/train.py"],
    "workdir": "/models",
    "nodes": 2,
    "gpus": 1,
    "kubernetes": {"framework": "tensorflow", "volumes": [{"path": "/models", "host_path": "/data"}]},
}
ELASTIC: dict[str, Any] = {
    "name": "elastic",
    "image": "train:1",
    "launcher": "torchrun",
    "command": ["train.py"],
    "nodes": 4,
    "gpus": 8,
    "restarts": 3,
    "requeue": 10,
    "kubernetes": {"elastic": {"min": 2, "max": 4}},
}
FETCHING: dict[str, Any] = {
    "name": "fetching",
    "image": "train:1",
    "launcher": "torchrun",
    "command": ["train.py"],
    "gpus": 8,
    "code": {},
    "environment": {"EPOCHS": "3"},
    "secrets": {
        "HF_TOKEN": "secretsmanager:hugging-face#token",
        "KEY": "arn:aws:ssm:eu-west-1:123456789012:parameter/a/b",
        "WANDB_API_KEY": "k8s:wandb#api-key",
    },
    "kubernetes": {"service_account": "trainer"},
}
SWEEP: dict[str, Any] = {
    "name": "sweep",
    "image": "train:1",
    "script": "train.sh",
    "cpus": 4,
    "checkpoints": "/lustre/sweep",
    "sweep": {"LEARNING_RATE": ["0.1", "$(id)"], "SEED": ["1", "2", "3"]},
    "kubernetes": {"queue": "team-a", "volumes": [{"path": "/lustre", "claim": "fsx"}]},
}
ACCELERATE: dict[str, Any] = {
    "name": "accelerate",
    "image": "train:1",
    "launcher": "accelerate",
    "command": ["python3", "train.py", "--note", "$(date) 'x' -- --num_machines=9"],
    "nodes": 2,
    "gpus": 8,
}
DEEPSPEED: dict[str, Any] = {**ACCELERATE, "name": "deepspeed", "launcher": "deepspeed"}
JOBS = {
    "full": FULL,
    "plain": PLAIN,
    "tensorflow": TENSORFLOW,
    "elastic": ELASTIC,
    "fetching": FETCHING,
    "sweep": SWEEP,
    "accelerate": ACCELERATE,
    "deepspeed": DEEPSPEED,
}


def spec(fields: dict[str, Any], **changes: Any) -> JobSpec:
    import json

    return JobSpec.model_validate_json(json.dumps({**fields, **changes}))


def job(fields: dict[str, Any], **changes: Any) -> Job:
    from pcinfra.jobs.kubernetes.prepare import prepare
    from pcinfra.jobs.load import Job as Loaded

    given = spec(fields, **changes)
    script = b"#!/bin/sh\necho hi\n" if given.script else b""
    return prepare(Loaded(given, script, b"code" if given.code else b""), "TrainJob", run=RUN)

"""The ClusterTrainingRuntimes that job files name.

None has ``ttlSecondsAfterFinished``: with it the Trainer trains anew when the JobSet goes (trainer issue 2981).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pcinfra.jobs.kubernetes import naming
from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.render.expansion import literal
from pcinfra.jobs.kubernetes.render.model import Object
from pcinfra.jobs.kubernetes.render.trainjob import API_VERSION, NODE, TF_CONFIG

PYTORCH = "pytorch/pytorch:2.7.1-cuda12.8-cudnn9-runtime"
TENSORFLOW = "tensorflow/tensorflow:2.15.0-gpu"
RESTARTS = 3  # of the whole job, by JobSet, when a pod has failed

_TF_CONFIG_SCRIPT = (Path(__file__).parent / "tf_config.sh").read_text()
_SHARED = {"name": "shared-env", "mountPath": "/shared-env"}


def pytorch_simple(dialect: Dialect) -> Object:
    """PyTorch; torchrun finds nodes, processes and address in PET_*."""
    return _runtime("pytorch-simple", "torch", {"torch": _torch(dialect)}, {"containers": [_container(PYTORCH)]})


def torch_distributed(dialect: Dialect) -> Object:
    """The same by the name that the Trainer's own manifests use."""
    return _runtime("torch-distributed", "torch", {"torch": _torch(dialect)}, {"containers": [_container(PYTORCH)]})


def tensorflow_distributed(dialect: Dialect) -> Object:
    """TensorFlow; an init container writes TF_CONFIG for MultiWorkerMirroredStrategy."""
    generator = {
        "name": TF_CONFIG,
        "image": TENSORFLOW,
        "command": ["sh", "-c", literal(_TF_CONFIG_SCRIPT)],
        "env": [
            {"name": "PET_NNODES", "value": "1"},
            {
                "name": "JOBSET_NAME",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['jobset.sigs.k8s.io/jobset-name']"}},
            },
        ],
        "volumeMounts": [_SHARED],
    }
    pod = {
        "initContainers": [generator],
        "containers": [{**_container(TENSORFLOW), "volumeMounts": [_SHARED]}],
        "volumes": [{"name": "shared-env", "emptyDir": {}}],
    }
    return _runtime("tensorflow-distributed", "tensorflow", {}, pod)


RUNTIMES: dict[str, Callable[[Dialect], Object]] = {
    "pytorch-simple": pytorch_simple,
    "tensorflow-distributed": tensorflow_distributed,
    "torch-distributed": torch_distributed,
}


def _torch(dialect: Dialect) -> Object:
    return {} if dialect is Dialect.V2_2 else {"numProcPerNode": "auto"}


def _container(image: str) -> Object:
    return {"name": NODE, "image": image}


def _runtime(name: str, framework: str, policy: Object, pod: Object) -> Object:
    node = {
        "name": NODE,
        "template": {
            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
            # JobSet starts all pods again together: processes that outlived the others wait for them in vain.
            "spec": {"backoffLimit": 0, "template": {"spec": {**pod, "restartPolicy": "Never"}}},
        },
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "ClusterTrainingRuntime",
        "metadata": {
            "name": name,
            "labels": {"trainer.kubeflow.org/framework": framework, naming.MANAGED: "pcinfra"},
        },
        "spec": {
            "mlPolicy": {"numNodes": 1, **policy},
            "template": {"spec": {"failurePolicy": {"maxRestarts": RESTARTS}, "replicatedJobs": [node]}},
        },
    }

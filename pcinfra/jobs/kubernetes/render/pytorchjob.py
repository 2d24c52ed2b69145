"""A JobSpec as a PyTorchJob (kubeflow.org/v1) of the training operator v1.8."""

from __future__ import annotations

from pcinfra.jobs.kubernetes.render import pod
from pcinfra.jobs.kubernetes.render.command import command
from pcinfra.jobs.kubernetes.render.files import rendered
from pcinfra.jobs.kubernetes.render.model import Job, Object, Rendered

API_VERSION = "kubeflow.org/v1"
CONTAINER = "pytorch"  # the webhook asks for a container of this name


def render(job: Job) -> Rendered:
    """Return the PyTorchJob of a run, and its ConfigMap where it has files."""
    return rendered(job, torch_job(job))


def torch_job(job: Job) -> Object:
    """Return the PyTorchJob alone.

    With ``elastic`` there are workers only, and the operator hands each agent the rendezvous of worker 0; else there
    is one master and the rest are workers. Without either, the operator gives no address to anybody.
    """
    spec: Object = {"nprocPerNode": str(pod.processes(job)), "runPolicy": _policy(job)}  # the CRD wants text
    elastic = job.settings.elastic
    like = {
        "restartPolicy": "OnFailure" if job.spec.requeue else "Never",
        "template": _template(job, elastic=elastic is not None),
    }
    if elastic:
        spec["elasticPolicy"] = {
            "rdzvBackend": "c10d",
            "rdzvId": job.name,
            "minReplicas": elastic.min,
            "maxReplicas": elastic.max,
            "maxRestarts": job.spec.restarts,
        }
        spec["pytorchReplicaSpecs"] = {"Worker": {"replicas": job.spec.nodes, **like}}
    else:
        # The webhook wants the master's 1 written out.
        spec["pytorchReplicaSpecs"] = {"Master": {"replicas": 1, **like}}
        if job.spec.nodes > 1:
            spec["pytorchReplicaSpecs"]["Worker"] = {"replicas": job.spec.nodes - 1, **like}
    meta = {**pod.metadata(job), "annotations": pod.notes(job)}
    if job.settings.queue:
        meta["labels"]["kueue.x-k8s.io/queue-name"] = job.settings.queue
    return {"apiVersion": API_VERSION, "kind": "PyTorchJob", "metadata": meta, "spec": spec}


def _policy(job: Job) -> Object:
    """Return the run policy. Without a backoffLimit a pod under OnFailure is restarted for ever.

    The operator adds up the restarts of all pods, of which one failure commonly costs each one (what a pod waits for is
    in another), and gives up when the sum *reaches* the limit (v1.8.1, ``pkg/controller.v1/common/job.go``,
    PastBackoffLimit).
    """
    pods = job.settings.elastic.max if job.settings.elastic else job.spec.nodes
    limit = job.spec.requeue * pods + 1 if job.spec.requeue else 0
    policy: Object = {"cleanPodPolicy": "Running", "backoffLimit": limit}
    stop = pod.deadline(job)
    return {**policy, "activeDeadlineSeconds": stop} if stop else policy


def _template(job: Job, *, elastic: bool) -> Object:
    """Return the pods' template, which Master and workers share."""
    container: Object = {
        "name": CONTAINER,
        "image": job.image,
        "command": command(job, elastic=elastic),
        "env": pod.environment(job),
        "resources": pod.resources(job),
    }
    if mounts := pod.mounts(job):
        container["volumeMounts"] = mounts
    spec: Object = {"containers": [container], **pod.placement(job)}
    if volumes := pod.volumes(job):
        spec["volumes"] = volumes
    if job.spec.time_limit:
        spec["terminationGracePeriodSeconds"] = job.spec.grace
    return {"metadata": {"labels": job.labels}, "spec": spec}

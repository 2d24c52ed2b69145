"""A JobSpec as a TrainJob (trainer.kubeflow.org/v1alpha1), for each version of the Trainer."""

from __future__ import annotations

from pcinfra.jobs.kubernetes import naming
from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.render import pod
from pcinfra.jobs.kubernetes.render.command import command
from pcinfra.jobs.kubernetes.render.files import rendered
from pcinfra.jobs.kubernetes.render.model import Job, Object, Rendered

API_VERSION = "trainer.kubeflow.org/v1alpha1"
NODE = "node"  # the replicated job and the container that every runtime of the Trainer has
TF_CONFIG = "tf-config-generator"


def render(job: Job, dialect: Dialect) -> Rendered:
    """Return the TrainJob of a run, and its ConfigMap where it has files."""
    return rendered(job, train_job(job, dialect), tuple(_notes(job, dialect)))


def train_job(job: Job, dialect: Dialect) -> Object:
    """Return the TrainJob alone."""
    spec: Object = {
        "runtimeRef": {"name": job.settings.runtime_name},
        "trainer": _trainer(job, dialect),
        **_overrides(job, dialect),
    }
    stop = pod.deadline(job)
    if stop and dialect.has_deadline:
        spec["activeDeadlineSeconds"] = stop
    meta = {**pod.metadata(job), "annotations": pod.notes(job)}
    if job.settings.queue:
        meta["labels"]["kueue.x-k8s.io/queue-name"] = job.settings.queue
    return {"apiVersion": API_VERSION, "kind": "TrainJob", "metadata": meta, "spec": spec}


def _trainer(job: Job, dialect: Dialect) -> Object:
    words = command(job)
    stop = pod.deadline(job)
    if stop and not dialect.has_deadline:
        # There is no deadline before v2.2: coreutils keeps it, from each start of the pod on.
        words = ["timeout", f"--kill-after={job.spec.grace}", str(stop), *words]
    trainer: Object = {"image": job.image, "command": words, "numNodes": job.spec.nodes}
    if job.settings.framework == "pytorch":
        # As a number: "auto" means other things from version to version, and v2.2 has numbers only.
        trainer["numProcPerNode"] = pod.processes(job)
    trainer["env"] = pod.environment(job)
    trainer["resourcesPerNode"] = pod.resources(job)
    return trainer


def _overrides(job: Job, dialect: Dialect) -> Object:
    """Return the field that changes the runtime's pods, by its name in this version; nothing when nothing changes.

    ``env`` of the container ``node`` is not among the changes: the webhook refuses it there, and takes it in
    ``trainer.env`` (kubeflow/trainer, ``pkg/runtime/framework/plugins/jobset/jobset.go``, Validate).
    """
    spec = pod.placement(job)
    if dialect.has_deadline and job.spec.time_limit:
        spec["terminationGracePeriodSeconds"] = job.spec.grace
    if volumes := pod.volumes(job):
        spec["volumes"] = volumes
    container = {"name": NODE, "volumeMounts": mounts} if (mounts := pod.mounts(job)) else {}
    if container:
        spec["containers"] = [container]
    if job.settings.framework == "tensorflow":
        count = [{"name": "PET_NNODES", "value": str(job.spec.nodes)}]
        spec["initContainers"] = [{"name": TF_CONFIG, "env": count}]
    if dialect is Dialect.V2_0:
        return {"labels": job.labels, **(patched(dialect, spec, {}) if spec else {})}
    return patched(dialect, spec, {"labels": job.labels})


def patched(dialect: Dialect, spec: Object, metadata: Object) -> Object:
    """Return the field that changes the pods of the job ``node``: their ``spec``, and metadata where it can."""
    if dialect is Dialect.V2_0:
        return {dialect.overrides: [{"targetJobs": [{"name": NODE}], **spec}]}
    template = {"metadata": metadata, "spec": spec} if metadata else {"spec": spec}
    if dialect is Dialect.V2_1:
        return {dialect.overrides: [{"targetJobs": [{"name": NODE}], **template}]}
    jobs = [{"name": NODE, "template": {"spec": {"template": template}}}]
    patch = {"manager": naming.MANAGER, "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": jobs}}}}
    return {dialect.overrides: [patch]}


def _notes(job: Job, dialect: Dialect) -> list[str]:
    notes = []
    if job.spec.time_limit and not dialect.has_deadline:
        notes.append(f"Trainer {dialect} has no deadline: `timeout` in the pod keeps it, anew after each restart")
    if job.settings.elastic:
        notes.append("elastic is for a PyTorchJob: the TrainJob has a fixed number of nodes")
    if job.spec.requeue:
        notes.append(
            f"how often failed pods come back is for the runtime {job.settings.runtime_name} to say, not requeue"
        )
    return notes

"""FSx for Lustre as PersistentVolume and claim of its CSI driver (aws-fsx-csi-driver, static provisioning)."""

from __future__ import annotations

from pcinfra.jobs.kubernetes import naming
from pcinfra.jobs.kubernetes.render.model import Job, Object, Rendered
from pcinfra.jobs.kubernetes.settings import Lustre


def render(job: Job) -> Rendered:
    """Return a PersistentVolume and its claim for each volume with ``lustre``."""
    found = [volume.lustre for volume in job.settings.volumes if volume.lustre]
    return Rendered(tuple(o for lustre in found for o in (_volume(job, lustre), _claim(job, lustre))))


def _amount(lustre: Lustre) -> str:
    return f"{lustre.capacity}Gi"


def _volume(job: Job, lustre: Lustre) -> Object:
    name = f"{lustre.file_system}-{job.namespace}" if job.namespace else lustre.file_system
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": {naming.MANAGED: "pcinfra"}},
        "spec": {
            "capacity": {"storage": _amount(lustre)},
            "volumeMode": "Filesystem",
            "accessModes": ["ReadWriteMany"],
            "mountOptions": ["flock"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"name": lustre.file_system, "namespace": job.namespace or "default"},
            "csi": {
                "driver": "fsx.csi.aws.com",
                "volumeHandle": lustre.file_system,
                "volumeAttributes": {"dnsname": lustre.dns_name, "mountname": lustre.mount_name},
            },
        },
    }


def _claim(job: Job, lustre: Lustre) -> Object:
    name = f"{lustre.file_system}-{job.namespace}" if job.namespace else lustre.file_system
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": lustre.file_system,
            "namespace": job.namespace or "default",
            "labels": {naming.MANAGED: "pcinfra"},
        },
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "volumeName": name,
            "resources": {"requests": {"storage": _amount(lustre)}},
        },
    }

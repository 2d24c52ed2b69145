"""The kinds of jobs: where they are in the API, and what their pods are labelled with. One line each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobKind:
    """One kind of job.

    Args:
        pods: the label that a job's pods bear, whose value is the job's name.
        container: the container whose log and exit code are the job's.
    """

    kind: str
    group: str
    version: str
    plural: str
    pods: str
    container: str

    @property
    def crd(self) -> str:
        return f"{self.plural}.{self.group}"

    def path(self, namespace: str, name: str = "") -> str:
        base = f"/apis/{self.group}/{self.version}/namespaces/{namespace}/{self.plural}"
        return f"{base}/{name}" if name else base


KINDS: dict[str, JobKind] = {
    each.kind: each
    for each in (
        JobKind("TrainJob", "trainer.kubeflow.org", "v1alpha1", "trainjobs", "jobset.sigs.k8s.io/jobset-name", "node"),
        JobKind("PyTorchJob", "kubeflow.org", "v1", "pytorchjobs", "training.kubeflow.org/job-name", "pytorch"),
    )
}

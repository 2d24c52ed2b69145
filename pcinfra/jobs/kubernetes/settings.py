"""The section ``kubernetes`` of a job file: what only Kubernetes asks for. Words are Kubernetes' own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pcinfra.jobs.kubernetes import naming
from pcinfra.project.fields import Pattern
from pcinfra.project.section import Section

_DNS_LABEL = Pattern(naming.LABEL, "must be at most 63 lower-case letters, digits and hyphens", naming.slug)
"""Source: RFC 1123, as Kubernetes uses it ("Object Names and IDs")."""

_SUBDOMAIN = Pattern(
    naming.SUBDOMAIN, "must be lower-case letters, digits, hyphens and dots, as in a host name", naming.slug
)

_LABEL_KEY = Pattern(
    rf"({naming.SUBDOMAIN}/)?{naming.VALUE}", "is not the key of a label: prefix/name, like karpenter.sh/nodepool"
)
_LABEL_VALUE = Pattern(rf"({naming.VALUE})?", "must be at most 63 letters, digits, '-', '_' and '.'")
_RESOURCE = Pattern(
    rf"{naming.SUBDOMAIN}/{naming.VALUE}",
    "is not the name of a device: it must be domain/name",
    lambda value: {"nvidia.com": "nvidia.com/gpu", "gpu": "nvidia.com/gpu"}.get(value, ""),
    "vpc.amazonaws.com/efa",
)
"""Source: Kubernetes, ``ValidateExtendedResourceName``: a pod with ``nvidia.com: 8`` is refused."""

_INSIDE = Pattern(r"/[^:\0]*", "must be an absolute path without ':'", lambda value: f"/{value}")
"""Source: Kubernetes API reference, VolumeMount, mountPath."""

DnsLabel = Annotated[str, AfterValidator(_DNS_LABEL)]
Subdomain = Annotated[str, AfterValidator(_SUBDOMAIN)]
LabelKey = Annotated[str, AfterValidator(_LABEL_KEY)]
LabelValue = Annotated[str, AfterValidator(_LABEL_VALUE)]
ResourceName = Annotated[str, AfterValidator(_RESOURCE)]
Inside = Annotated[str, AfterValidator(_INSIDE)]

Kind = Literal["TrainJob", "PyTorchJob"]


FileSystem = Annotated[str, AfterValidator(Pattern(r"fs-[0-9a-f]{8,40}", "must be an id like fs-0123456789abcdef0"))]
MountName = Annotated[str, AfterValidator(Pattern(r"[A-Za-z0-9_-]{1,8}", "must be 1 to 8 letters or digits"))]


class Lustre(Section):
    """A file system of FSx for Lustre, through its CSI driver."""

    file_system: FileSystem = Field(description="Its id.", examples=["fs-0123456789abcdef0"])
    dns_name: Subdomain = Field(
        description="Its DNS name.", examples=["fs-0123456789abcdef0.fsx.us-east-1.amazonaws.com"]
    )
    mount_name: MountName = Field(description="Its mount name.", examples=["abcdefgh"])
    capacity: int = Field(default=1200, ge=1, description="GiB.")


class Volume(Section):
    """A volume of every pod: one source, and where the job sees it."""

    path: Inside = Field(description="Where the job sees it.", examples=["/lustre"])
    claim: Subdomain | None = Field(default=None, description="A PersistentVolumeClaim.", examples=["fsx"])
    config_map: Subdomain | None = Field(default=None, description="A ConfigMap.")
    secret: Subdomain | None = Field(default=None, description="A Secret.")
    host_path: Inside | None = Field(default=None, description="A directory of the node. For tests.")
    scratch: int | None = Field(default=None, ge=1, description="GiB of the node's disk, gone with the pod.")
    lustre: Lustre | None = Field(
        default=None, description="FSx for Lustre. `pcinfra render --to volumes` makes the PersistentVolume of it."
    )
    read_only: bool = Field(default=False, description="Nothing in the pods can change it.")

    @property
    def sources(self) -> tuple[str, ...]:
        names = ("claim", "config_map", "secret", "host_path", "scratch", "lustre")
        return tuple(name for name in names if getattr(self, name) is not None)


class Toleration(Section):
    """A taint of nodes that the job bears."""

    key: LabelKey = Field(description="Of the taint.", examples=["nvidia.com/gpu"])
    operator: Literal["Exists", "Equal"] = Field(default="Exists", description="Equal: value must be the taint's.")
    value: LabelValue = Field(default="", description="Of the taint, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default="NoSchedule", description="Of the taint; null means any."
    )


class Elastic(Section):
    """A PyTorchJob of workers only, that goes on with fewer or more of them."""

    min: int = Field(ge=1, le=10_000, description="With fewer workers it waits.")
    max: int = Field(ge=1, le=10_000, description="More workers are not taken in.")

    @model_validator(mode="after")
    def _ordered(self) -> Elastic:
        if self.min > self.max:
            raise ValueError("min is more than max")
        return self


class Kubernetes(Section):
    """What only Kubernetes asks for."""

    kind: Kind | None = Field(
        default=None, description="Left out: what is installed; a TrainJob where both operators are."
    )
    namespace: DnsLabel | None = Field(default=None, description="Left out: the one that kubeconfig names.")
    framework: Literal["pytorch", "tensorflow"] = Field(
        default="pytorch", description="tensorflow: every node gets TF_CONFIG."
    )
    runtime: Subdomain | None = Field(
        default=None,
        description="TrainJob: the ClusterTrainingRuntime. Left out: pytorch-simple or tensorflow-distributed.",
        examples=["torch-distributed"],
    )
    elastic: Elastic | None = Field(default=None, description="PyTorchJob: how few and how many workers will do.")
    volumes: tuple[Volume, ...] = Field(default=(), description="What the pods see: nothing of the nodes' disks else.")
    shared_memory: int | None = Field(
        default=None, ge=1, le=4096, description="GiB of /dev/shm; left out: the runtime's 64 MiB.", examples=[64]
    )
    devices: dict[ResourceName, int] = Field(
        default={}, description="Devices of each node besides GPUs.", examples=[{"vpc.amazonaws.com/efa": 32}]
    )
    node_selector: dict[LabelKey, LabelValue] = Field(
        default={}, description="Labels that its nodes must have.", examples=[{"karpenter.sh/nodepool": "gpu"}]
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(), description="Taints of nodes that it bears; that of GPUs it bears by itself."
    )
    queue: Subdomain | None = Field(default=None, description="Kueue's LocalQueue.")
    service_account: Subdomain | None = Field(default=None, description="Whom the pods are.")
    pull_secrets: tuple[Subdomain, ...] = Field(default=(), description="Secrets for the image's registry.")

    @property
    def runtime_name(self) -> str:
        return self.runtime or {"pytorch": "pytorch-simple", "tensorflow": "tensorflow-distributed"}[self.framework]

"""What a cluster has besides its machines: metadata service, directory, programs around each job, metrics."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pcinfra.project.fields import Pattern
from pcinfra.project.section import Section

Plain = str | int | float | bool
DirectoryService = dict[str, Plain | dict[str, Plain]]

HOOK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
"""Ours: it becomes the name of a file in prolog.d or epilog.d, which run-parts must not skip or split."""

HOOK = Pattern(
    rf"s3://[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9]/([A-Za-z0-9][A-Za-z0-9_.-]*/)*{HOOK_NAME.pattern}"
    r"|(?!s3:)[^\x00-\x1f\x7f:]{1,500}",
    "must be a program here, by its path from this file, or in S3, by an address in letters, digits and . _ -",
    example="checks/fabric.sh or s3://my-bucket/scripts/prolog/check.sh",
)

HookUrl = Annotated[str, AfterValidator(HOOK)]


class Imds(Section):
    """The instance metadata service, from which programs get the role of their node."""

    version: Literal["v2.0", "v1.0"] = Field(
        "v2.0", description="v2.0 answers to session tokens only; v1.0 answers to old programs too."
    )
    secured: bool = Field(
        True, description="Whether only root and the node's administrators reach it on the head node."
    )


class Hooks(Section):
    """Programs of yours that Slurm runs as root on each node of a job, besides those of pcinfra and ParallelCluster.

    Each is a file here, by its path from this file, a folder of such, or s3://BUCKET/KEY. Those from here are put into
    the project's bucket by `pcinfra up`.
    """

    prolog: tuple[HookUrl, ...] = Field(
        (), max_length=20, description="Run before a job, in the order of their names. One that fails drains its node."
    )  # fmt: skip
    epilog: tuple[HookUrl, ...] = Field((), max_length=20, description="Run after a job, in the order of their names.")

    @property
    def urls(self) -> tuple[str, ...]:
        return (*self.prolog, *self.epilog)


class Monitoring(Section):
    """Numbers for a Prometheus of yours."""

    exporters: bool = Field(
        False, description="Whether each node serves node_exporter and its GPUs' numbers on port 9100 of its private "
        "address, to the cluster's own machines."
    )  # fmt: skip
    dcgm: bool = Field(
        False, description="Whether each compute node with NVIDIA GPUs serves NVIDIA's dcgm-exporter on port 9400 of "
        "its private address. It is fetched from nvcr.io as the node starts."
    )  # fmt: skip

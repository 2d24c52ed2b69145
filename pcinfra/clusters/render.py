"""A cluster of the project file, rendered as a pcluster configuration. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pcinfra.assets import folder
from pcinfra.clusters import derive
from pcinfra.clusters.inputs import ClusterInputs
from pcinfra.clusters.quoting import scalar
from pcinfra.errors import UsageError
from pcinfra.project import Cluster

if TYPE_CHECKING:
    from jinja2 import Environment, Template


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of cluster: ``cluster-configs/<name>.yaml.j2`` and what it is for."""

    name: str
    purpose: str


SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape("gpu-efa", "training on GPU nodes with EFA, Lustre, OpenZFS and containers"),
    )
}  # fmt: skip


def render(cluster_name: str, cluster: Cluster, inputs: ClusterInputs) -> str:
    """Return the configuration of ``cluster``, with a comment behind each derived value saying why.

    Raises:
        UsageError: the shape or an instance type is not known, or architectures are mixed.
    """
    where = f"clusters.{cluster_name}"
    template = _template(_shape(cluster.shape, where).name)
    queues = tuple(derive.queue_view(queue, f"{where}.queues[{index}]") for index, queue in enumerate(cluster.queues))
    derive.same_architecture(cluster, queues, where)
    return template.render(
        name=cluster_name,
        cluster=cluster,
        inputs=inputs,
        queues=queues,
        head_timeout=derive.head_timeout(queues),
        compute_timeout=derive.compute_timeout(queues),
        managed_policy=lambda policy: derive.managed_policy(policy, inputs.partition),
    )


def _shape(name: str, where: str) -> Shape:
    if name not in SHAPES:
        raise UsageError(f"no cluster shape {name!r}", where=f"{where}.shape", hint=" or ".join(SHAPES))
    return SHAPES[name]


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Every expression goes through ``finalize``, so that no value can be written without being quoted.
    return Environment(
        loader=FileSystemLoader(folder("cluster-configs")),
        undefined=StrictUndefined,
        finalize=scalar,
        autoescape=False,  # noqa: S701  (YAML, not HTML)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@cache
def _template(shape: str) -> Template:
    return _environment().get_template(f"{shape}.yaml.j2")

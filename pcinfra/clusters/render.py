"""A cluster of the project file, rendered as a pcluster configuration. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pcinfra.assets import folder
from pcinfra.clusters import derive
from pcinfra.clusters.inputs import ClusterInputs
from pcinfra.clusters.overrides import Origins, lay_over
from pcinfra.clusters.quoting import Comment, scalar
from pcinfra.errors import UsageError
from pcinfra.project import SHAPES, Cluster, Shape

if TYPE_CHECKING:
    from jinja2 import Environment, Template


@dataclass(frozen=True, slots=True)
class Rendered:
    """A configuration, and what in it came from ``overrides:``."""

    text: str
    origins: Origins


def render(cluster_name: str, cluster: Cluster, inputs: ClusterInputs) -> str:
    """Return the configuration of ``cluster``, with a comment behind each derived value saying why.

    Raises:
        UsageError: the shape or an instance type is not known, or architectures are mixed.
    """
    return rendered(cluster_name, cluster, inputs).text


def rendered(cluster_name: str, cluster: Cluster, inputs: ClusterInputs) -> Rendered:
    """Return what :func:`render` returns, and what in it came from ``overrides:``.

    Raises:
        UsageError: the shape or an instance type is not known, or architectures are mixed.
    """
    where = f"clusters.{cluster_name}"
    shape = _shape(cluster.shape, where)
    queues = tuple(derive.queue_view(queue, f"{where}.queues[{index}]") for index, queue in enumerate(cluster.queues))
    derive.same_architecture(cluster, queues, where)
    text = _template(shape.name).render(
        title=Comment(f"ParallelCluster {cluster.pcluster_version}, shape {shape.name}: {shape.purpose}."),
        cluster=cluster,
        inputs=inputs,
        queues=queues,
        head_type=derive.head_type(cluster),
        login_type=derive.login_type(cluster),
        idle_time=derive.idle_time(cluster),
        head_timeout=derive.head_timeout(queues),
        compute_timeout=derive.compute_timeout(queues),
        imds=derive.imds(cluster),
        secured=derive.secured(cluster),
        hooks=derive.hooks(cluster_name, cluster, inputs.bucket),
        slurm_settings=derive.slurm_settings(queues),
        foreign=derive.foreign_objects(cluster, inputs.bucket),
        tags={**inputs.tags, **cluster.tags},
        policies=derive.policies(inputs),
        accounting=derive.accounting(cluster, inputs),
    )
    return Rendered(*lay_over(text, cluster.overrides))


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

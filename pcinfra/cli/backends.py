"""Where a job can run besides the project's Slurm clusters, by the first word of ``--on``: one line each.

``k8s`` and ``k8s:NAMESPACE`` are the cluster of kubeconfig, or the one whose pod this is; ``eks:CLUSTER`` and
``eks:CLUSTER:NAMESPACE`` one of EKS, without a kubeconfig.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pcinfra.errors import UsageError

if TYPE_CHECKING:
    from pcinfra.cli.session import Session
    from pcinfra.jobs.kubernetes.api import Api
    from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher
    from pcinfra.jobs.kubernetes.render.model import Rendered


def _kubeconfig(session: Session, words: list[str], namespace: str) -> Api:
    from pcinfra.jobs.kubernetes.api import connect

    if len(words) > 1:
        raise UsageError("has too many parts", where=f"--on k8s:{':'.join(words)}", hint="--on k8s:NAMESPACE")
    return connect(words[0] if words else namespace)


def _eks(session: Session, words: list[str], namespace: str) -> Api:
    from pcinfra.jobs.kubernetes.eks import connect

    if not 1 <= len(words) <= 2:
        raise UsageError("names no cluster", where=f"--on eks:{':'.join(words)}", hint="--on eks:CLUSTER[:NAMESPACE]")
    given = words[1] if len(words) > 1 else namespace
    return connect(words[0], session.cloud, session.shell, session.target, given)


REGISTRY: dict[str, Callable[[Session, list[str], str], Api]] = {"k8s": _kubeconfig, "eks": _eks}


def is_backend(where: str | None) -> bool:
    """Return whether ``--on`` names one of these, and not a Slurm cluster."""
    return where is not None and where.partition(":")[0] in REGISTRY


def launcher(session: Session, where: str, namespace: str = "") -> KubernetesLauncher:
    """Return the launcher of ``where``; ``namespace`` holds when ``where`` has none.

    Raises:
        UsageError: the namespace cannot be one, or there is no such configuration.
    """
    from pcinfra.cli.render import checked_namespace
    from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher

    first, *words = where.split(":")
    api = REGISTRY[first](session, words, namespace)
    checked_namespace(api.namespace)
    return KubernetesLauncher(api)


def prepared(session: Session, where: str, file: Path) -> tuple[KubernetesLauncher, str, Rendered]:
    """Return the launcher for a job file, the run's id, and the objects that fit what is installed there.

    Raises:
        InputError: the job file cannot run on Kubernetes.
    """
    from pcinfra.jobs.kubernetes import jobrules, prepare
    from pcinfra.jobs.kubernetes.dialect import NEWEST
    from pcinfra.jobs.load import load

    loaded = load(file, session.shell, [jobrules.findings])
    chosen = launcher(session, where, loaded.spec.kubernetes.namespace or "")
    schemas = chosen.reading.schemas
    kind = prepare.kind_of(loaded.spec, schemas)
    job = prepare.prepare(loaded, kind, namespace=chosen.api.namespace)
    return chosen, job.run, prepare.render(job, kind, schemas.dialect or NEWEST)

"""Where a job can run besides the project's Slurm clusters, by the first word of ``--on``: one line each.

``k8s`` and ``k8s:NAMESPACE`` are the cluster of kubeconfig, or the one whose pod this is; ``eks:CLUSTER`` and
``eks:CLUSTER:NAMESPACE`` one of EKS, without a kubeconfig.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from pcinfra.errors import UsageError

if TYPE_CHECKING:
    from pcinfra.cli.session import Session
    from pcinfra.jobs.kubernetes.api import Api
    from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher
    from pcinfra.jobs.kubernetes.store import Store
    from pcinfra.jobs.load import Job
    from pcinfra.jobs.manifest import Manifest
    from pcinfra.jobs.spec import JobSpec
    from pcinfra.project.positions import Rule


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


def there(where: str) -> str:
    """Return what a command about a run at ``where`` needs besides, with a blank before it."""
    return f" --on {where}" if is_backend(where) else ""


def launcher(session: Session, where: str, namespace: str = "") -> KubernetesLauncher:
    """Return the launcher of ``where``; ``namespace`` holds when ``where`` has none.

    Raises:
        UsageError: the namespace cannot be one, or there is no such configuration.
    """
    from pcinfra.cli.render import checked_namespace
    from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher

    if where not in session.backends:
        first, *words = where.split(":")
        session.backends[where] = KubernetesLauncher(REGISTRY[first](session, words, namespace), _store(session))
    found: KubernetesLauncher = session.backends[where]
    checked_namespace(found.api.namespace)
    return found


def _store(session: Session) -> Store | None:
    """Return where code lies that no ConfigMap holds: the project's bucket, asked for its name when it is needed."""
    if not session.has_project:
        return None
    from pcinfra.jobs.kubernetes.store import S3Store

    return S3Store(lambda: session.cloud, lambda: session.project.bucket_name(session.cloud.account))


def home(session: Session, where: str) -> str:
    """Return ``where`` with its namespace written out."""
    first, *words = where.split(":")
    cluster = words[:1] if first == "eks" else []
    return ":".join([first, *cluster, launcher(session, where).api.namespace])


def rules(session: Session, where: str | None) -> tuple[Rule[JobSpec], ...]:
    """Return what a backend, or the project of a Slurm cluster, asks of a job file besides."""
    if not is_backend(where):
        from pcinfra.jobs import granted
        from pcinfra.jobs.slurm import jobrules as slurm

        return (slurm.findings, *([granted.secrets(session.project)] if session.has_project else []))
    from pcinfra.jobs.kubernetes import jobrules

    return (jobrules.findings,)


def rendered(session: Session, where: str, job: Job) -> Manifest:
    """Return the objects of a new run of ``job``, for what is installed at ``where``; say what is left out."""
    from pcinfra.jobs.images import is_ours, resolved
    from pcinfra.jobs.kubernetes import prepare
    from pcinfra.jobs.kubernetes.dialect import NEWEST
    from pcinfra.jobs.kubernetes.render import files

    image = job.spec.image or ""
    # A name without a registry is one of the project's where there is a project; else it is Docker Hub's.
    images = {image: resolved(image, session.project, session.cloud)} if session.has_project and is_ours(image) else {}
    chosen = launcher(session, where, job.spec.kubernetes.namespace or "")
    schemas = chosen.reading.schemas
    kind = prepare.kind_of(job.spec, schemas)
    prepared = prepare.prepare(job, kind, namespace=chosen.api.namespace, images=images)
    if session.has_project:
        prepared = replace(prepared, region=session.project.region)
    if prepared.code and not files.fits(prepared):
        prepared = replace(prepared, bucket=chosen.bucket())
    made = prepare.render(prepared, kind, schemas.dialect or NEWEST)
    chosen.precheck(made.jobs)
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    return made.manifest(prepared.run)


def print_objects(manifest: Manifest) -> None:
    """Print the objects of a manifest as YAML."""
    import json

    from pcinfra.jobs import code
    from pcinfra.jobs.kubernetes.render.model import ARCHIVE
    from pcinfra.jobs.kubernetes.text import to_yaml

    click.echo(to_yaml([json.loads(file.content) for file in manifest.files if file.name != ARCHIVE]), nl=False)
    for file in manifest.files:
        if file.name == ARCHIVE:
            click.echo("\n".join(["# ---- in the bucket ----", *(f"# {name}" for name in code.names(file.content))]))

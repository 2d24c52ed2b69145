"""Where a job can run besides the project's Slurm clusters, by the first word of ``--on``: one line each.

``k8s`` and ``k8s:NAMESPACE`` are the cluster of kubeconfig, or the one whose pod this is; with ``@CONTEXT`` behind, of
another context of kubeconfig (whose name may have colons: those of EKS are ARNs). ``eks:CLUSTER`` and
``eks:CLUSTER:NAMESPACE`` are a cluster of EKS, without a kubeconfig.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
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


WHERE = "k8s[:NAMESPACE][@CONTEXT] or eks:CLUSTER[:NAMESPACE]"


@dataclass(frozen=True, slots=True)
class Place:
    """What ``--on`` says, taken apart: ``first[:word...][@context]``."""

    first: str
    words: tuple[str, ...]
    context: str

    @classmethod
    def of(cls, where: str) -> Place:
        """Take ``where`` apart.

        Raises:
            UsageError: it is none of these places, or its namespace cannot be one.
        """
        from pcinfra.cli.render import checked_namespace

        head, at, context = where.partition("@")
        first, *words = head.split(":")
        if at and not context:
            raise UsageError("names no context", where=f"--on {where}", hint="kubectl config get-contexts")
        if first not in REGISTRY:
            raise UsageError("is no Kubernetes", where=f"--on {where}", hint=f"--on {WHERE}")
        found = cls(first, tuple(words), context)
        checked_namespace(found.namespace, "--on")
        return found

    @property
    def namespace(self) -> str:
        """The namespace that it names; empty when it names none."""
        return self.words[-1] if len(self.words) > (self.first == "eks") else ""

    def __str__(self) -> str:
        return ":".join([self.first, *self.words]) + (f"@{self.context}" if self.context else "")


def _kubeconfig(session: Session, place: Place, namespace: str) -> Api:
    from pcinfra.jobs.kubernetes.api import connect

    if len(place.words) > 1:
        raise UsageError(
            "has too many parts", where=f"--on {place}", hint="--on k8s:NAMESPACE or k8s:NAMESPACE@CONTEXT"
        )
    return connect(place.namespace or namespace, place.context)


def _eks(session: Session, place: Place, namespace: str) -> Api:
    from pcinfra.jobs.kubernetes.eks import connect

    if not 1 <= len(place.words) <= 2 or not place.words[0]:
        raise UsageError("names no cluster", where=f"--on {place}", hint="--on eks:CLUSTER[:NAMESPACE]")
    if place.context:
        raise UsageError("has no contexts", where=f"--on {place}", hint="--on eks:CLUSTER[:NAMESPACE]")
    return connect(place.words[0], session.cloud, session.shell, session.target, place.namespace or namespace)


REGISTRY: dict[str, Callable[[Session, Place, str], Api]] = {"k8s": _kubeconfig, "eks": _eks}


def is_backend(where: str | None) -> bool:
    """Return whether ``--on`` names one of these, and not a Slurm cluster."""
    return where is not None and re.split("[:@]", where, maxsplit=1)[0] in REGISTRY


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
        place = Place.of(where)
        api = REGISTRY[place.first](session, place, namespace)
        checked_namespace(api.namespace, "--on")
        cluster = place.words[:1] if place.first == "eks" else ()
        api.on = f" --on {replace(place, words=(*cluster, api.namespace))}"
        session.backends[where] = KubernetesLauncher(api, _store(session))
    found: KubernetesLauncher = session.backends[where]
    return found


def _store(session: Session) -> Store | None:
    """Return where code lies that no ConfigMap holds: the project's bucket, asked for its name when it is needed."""
    if not session.has_project:
        return None
    from pcinfra.jobs.kubernetes.store import S3Store

    return S3Store(lambda: session.cloud, lambda: session.project.bucket_name(session.cloud.account))


def home(session: Session, where: str) -> str:
    """Return ``where`` with its namespace written out."""
    return launcher(session, where).api.on.removeprefix(" --on ")


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
    said = job.spec.kubernetes.namespace or ""
    chosen = launcher(session, where, said)
    if said and not Place.of(where).namespace and said != chosen.api.namespace:
        why = f"is for the namespace {said}, and the job before it for {chosen.api.namespace}"
        raise UsageError(why, where=job.spec.name, hint="one submission for each namespace, or --on k8s:NAMESPACE")
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

"""``pcinfra k8s``: what is particular to Kubernetes. Runs themselves have the same commands as on Slurm."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from pcinfra.cli import k8s_live, options
from pcinfra.cli.render import crd_option, schemas_of
from pcinfra.cli.session import Session

_folder = click.option(
    "--dir", "folder", metavar="FOLDER", type=click.Path(path_type=Path), default=".", help="The overlay.  [default: .]"
)


@click.group()
def k8s() -> None:
    """Check, set up and migrate jobs on Kubernetes."""


for command in (k8s_live.setup, k8s_live.can_i, k8s_live.sweep):
    k8s.add_command(command)


@k8s.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@crd_option
def check(file: Path, crd_dir: Path | None) -> None:
    """Say what the server, the webhooks and kubelet would have against the manifests in FILE (- reads them).

    Jobs, their runtimes and ConfigMaps; roles of who submits them; kustomize overlays. A runtime that is in FILE is the
    one that its jobs name.

    \b
    pcinfra k8s check trainjob.yaml
    pcinfra k8s check overlays/custom-url/kustomization.yaml
    kubectl kustomize overlays/ddp | pcinfra k8s check - --crd-dir crds/
    """
    from pcinfra.jobs.kubernetes import check as checking
    from pcinfra.jobs.kubernetes.rules.model import RUNTIMES

    schemas = schemas_of(crd_dir)
    objects = _objects(file)
    runtimes = {
        each["metadata"].get("name"): each for each in objects if each["kind"] in RUNTIMES and "metadata" in each
    }
    errors = [error for each in objects for error in [_fault_of(each, checking, schemas, runtimes)] if error]
    if errors:
        raise errors[0] if len(errors) == 1 else type(errors[0])("\n".join(map(str, errors)))
    how = "by their schema and the rules" if schemas else "by the rules; with --crd-dir also by their schema"
    click.echo(f"{len(objects)} objects checked {how}: nothing found")


@k8s.command()
@click.argument("file", metavar="PYTORCHJOB.yaml", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--trainer", metavar="VERSION", default="v2.3", show_default=True, help="Version of the Trainer.")
@click.option("--runtime", metavar="NAME", default="pytorch-simple", show_default=True, help="ClusterTrainingRuntime.")
def migrate(file: Path, trainer: str, runtime: str) -> None:
    """Print the TrainJob that does what a PyTorchJob does.

    \b
    pcinfra k8s migrate pytorchjob.yaml --trainer v2.1 > trainjob.yaml
    """
    from pcinfra.jobs.kubernetes import check as checking
    from pcinfra.jobs.kubernetes.migrate import migrate as migrated
    from pcinfra.jobs.kubernetes.text import to_yaml
    from pcinfra.jobs.kubernetes.versions import dialect

    made = []
    for each in _objects(file):
        if each.get("kind") != "PyTorchJob":
            made.append(each)
            continue
        done = migrated(each, dialect(trainer), runtime)
        checking.check(done.trainjob)
        for note in done.notes:
            click.echo(f"note: {note}", err=True)
        for warning in done.warnings:
            click.echo(f"warning: {warning}", err=True)
        made.append(done.trainjob)
    click.echo(to_yaml(made), nl=False)


@k8s.group()
def params() -> None:
    """List and set the parameters of a kustomize overlay."""


@params.command("list")
@_folder
def list_params(folder: Path) -> None:
    """Print the parameters and their values.

    \b
    pcinfra k8s params list --dir kustomize/overlays/custom-url
    """
    from pcinfra.jobs.kubernetes.params import read

    for name, value in read(folder).items():
        click.echo(f"{name}={value}")


@params.command("set")
@click.argument("values", metavar="NAME=VALUE...", nargs=-1, required=True)
@_folder
def set_params(values: tuple[str, ...], folder: Path) -> None:
    """Set parameters: all of them, or none when one is wrong.

    \b
    pcinfra k8s params set NUM_WORKERS=5 INSTANCE_TYPE=g5.48xlarge --dir overlays/custom-url
    """
    from pcinfra.errors import UsageError
    from pcinfra.jobs.kubernetes.params import change

    wrong = next((text for text in values if not text.partition("=")[1]), None)
    if wrong is not None:
        raise UsageError("is not NAME=VALUE", where=wrong, hint=f"{wrong}=VALUE")
    click.echo(str(change(folder, dict(text.split("=", 1) for text in values))))


@k8s.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def substitute(names: tuple[str, ...]) -> None:
    """Replace ${NAME} in what comes in by the variable NAME, for the names given and no others.

    Fails when one is not set. Every other dollar stays: pods read their own variables.

    \b
    kubectl kustomize . | pcinfra k8s substitute GIT_URL WORKERS | kubectl apply -f -
    """
    from pcinfra.jobs.kubernetes.substitution import substitute as substituted

    click.echo(substituted(sys.stdin.read(), names, os.environ), nl=False)


@k8s.command()
@k8s_live.on_option
@click.option("--namespace", "-n", metavar="NAME", default="", hidden=True, help="The same as --on k8s:NAME.")
@k8s_live.subject_options
@options.pass_session
def rbac(session: Session, /, where: str, namespace: str, **given: tuple[str, ...]) -> None:
    """Print Role and RoleBinding with the rights that pcinfra needs in the namespace of --on, and no more.

    No cluster is asked. `pcinfra k8s setup` with the same options grants them.

    \b
    pcinfra k8s rbac --on k8s:team-a --group team-a | kubectl apply -f -
    """
    from pcinfra.errors import UsageError
    from pcinfra.jobs.kubernetes import rbac as rights
    from pcinfra.jobs.kubernetes.text import to_yaml

    place = _namespace(session, where, namespace)
    made = rights.granted(place, **given)
    if not made:
        raise UsageError("nobody would get the rights", hint="--user, --group or --service-account NAME")
    click.echo(to_yaml(made), nl=False)


def _namespace(session: Session, where: str, namespace: str) -> str:
    """Return the namespace that is said, else that of kubeconfig.

    Raises:
        UsageError: it cannot be one, or none is said and there is no kubeconfig.
    """
    from pcinfra.cli.backends import Place, launcher
    from pcinfra.cli.render import checked_namespace

    return checked_namespace(namespace, "-n") or Place.of(where).namespace or launcher(session, where).api.namespace


@k8s.command()
@click.option("--trainer", metavar="VERSION", default="v2.3", show_default=True, help="Version of the Trainer.")
def runtimes(trainer: str) -> None:
    """Print the ClusterTrainingRuntimes that job files name.

    \b
    pcinfra k8s runtimes --trainer v2.1 | kubectl apply --server-side -f -
    """
    from pcinfra.jobs.kubernetes.render.runtimes import RUNTIMES
    from pcinfra.jobs.kubernetes.text import to_yaml
    from pcinfra.jobs.kubernetes.versions import dialect

    click.echo(to_yaml([make(dialect(trainer)) for make in RUNTIMES.values()]), nl=False)


def _fault_of(each: dict[str, Any], checking: Any, schemas: Any, runtimes: dict[Any, Any]) -> Any:
    from pcinfra.errors import UsageError
    from pcinfra.jobs.kubernetes.rules.model import down

    named = down(each, "spec", "runtimeRef", "name")
    try:
        checking.check(each, schemas, runtimes.get(named) if isinstance(named, str) else None)
    except UsageError as error:
        return error
    return None


def _objects(file: Path) -> list[dict[str, Any]]:
    """Return the objects in a YAML file, or on standard input for ``-``.

    Raises:
        UsageError: it cannot be read, is no YAML, or holds something else than objects.
    """
    from pcinfra.errors import UsageError
    from pcinfra.jobs.kubernetes.text import from_yaml

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(file)) from error
    objects = from_yaml(text, str(file))
    if not objects:
        raise UsageError("holds no Kubernetes object", where=str(file))
    return objects

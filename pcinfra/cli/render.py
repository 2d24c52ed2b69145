"""``pcinfra render``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pcinfra.jobs.kubernetes.check import Schemas

_TARGETS = ("sbatch", "trainjob", "pytorchjob", "kustomize", "runtime", "volumes")
crd_option = click.option(
    "--crd-dir",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="CRDs as YAML files: what is rendered is checked by them, as the server would.",
)


@click.command()
@click.argument("file", metavar="JOB.yaml", type=click.Path(path_type=Path))
@click.option("--to", "target", type=click.Choice(_TARGETS), required=True, help="What it becomes.")
@click.option("--out", metavar="FOLDER", type=click.Path(path_type=Path), help="Write the files there.")
@click.option("--trainer", metavar="VERSION", help="The Trainer's, v2.0 to v2.3.  [default: by --crd-dir, else v2.3]")
@click.option("--namespace", "-n", metavar="NAME", default="", help="Namespace of the objects.")
@click.option("--run", metavar="ID", default="", help="Id of the run.  [default: a new one]")
@crd_option
def render(
    file: Path, target: str, out: Path | None, trainer: str | None, namespace: str, run: str, crd_dir: Path | None
) -> None:
    """Print what a job file becomes; submit nothing, ask nobody.

    \b
    pcinfra render job.yaml --to trainjob --trainer v2.1 | kubectl apply -f -
    pcinfra render job.yaml --to pytorchjob --crd-dir crds/
    pcinfra render job.yaml --to kustomize --out kustomize/
    """
    from pcinfra.jobs.kubernetes.dialect import NEWEST
    from pcinfra.jobs.kubernetes.versions import dialect
    from pcinfra.jobs.load import load
    from pcinfra.jobs.targets import REGISTRY, Options

    schemas = schemas_of(crd_dir)
    installed = schemas.dialect if schemas else None
    version = dialect(trainer) if trainer else installed or NEWEST
    how = REGISTRY[target]
    done = how.render(load(file, rules=how.rules), Options(version, checked_namespace(namespace), run, schemas))
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    if not done.files:
        click.echo("nothing to render: the job file has no volume with lustre", err=True)
    for name, text in done.files.items():
        if out is None:
            _print(name, text, alone=len(done.files) == 1)
        else:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text)
            click.echo(str(out / name))


def schemas_of(folder: Path | None) -> Schemas | None:
    """Return the schemas of the CRDs in ``folder``; None without one."""
    from pcinfra.jobs.kubernetes.check import schemas_in

    return schemas_in(folder) if folder else None


def checked_namespace(name: str, option: str = "--namespace") -> str:
    """Return ``name`` if a namespace can be called so, or it is empty.

    Args:
        option: what said it; of ``--on`` it is a part.

    Raises:
        UsageError: it cannot.
    """
    import re

    from pcinfra.errors import UsageError
    from pcinfra.jobs.kubernetes.naming import LABEL, slug

    if name and not re.fullmatch(LABEL, name):
        fixed = slug(name) or "NAME"
        hint = f"--on k8s:{fixed}" if option == "--on" else f"{option} {fixed}"
        raise UsageError("is no name of a namespace", where=f"{option} {name!r}", hint=hint)
    return name


def _print(name: str, text: str, *, alone: bool) -> None:
    if not alone:
        click.echo(f"# ---- {name} ----")
    click.echo(text, nl=not text.endswith("\n"))

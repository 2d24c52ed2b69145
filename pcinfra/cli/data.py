"""``pcinfra data``: files between this machine, S3 and Lustre."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli import options
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.stages.associations import AssociationFacts
    from pcinfra.stages.data_tasks import Area, Task

_EPILOG = """\b
S3 is the project's bucket; a PREFIX is a path in it, also written s3:PREFIX or s3://BUCKET/PREFIX.
  pcinfra data push ./corpus data/corpus        this directory to S3
  pcinfra data ls data/                         what is there
  pcinfra data import data                      tell Lustre about it: /lustre/data/corpus
  pcinfra data export results                   what the jobs wrote, to S3
  pcinfra data pull results ./results           and here
\b
Run a command again to continue a transfer that was killed: what is equal is not sent twice."""


@click.group(epilog=_EPILOG)
def data() -> None:
    """Bring files to S3 and Lustre and back."""


def transferring(command: Any) -> Any:
    """Add the options of every transfer."""
    for option in reversed((
        click.option("--dry-run", "-n", is_flag=True, help="Only say what would be done."),
        click.option("--include", multiple=True, metavar="GLOB", help="Only what matches; may be given again."),
        click.option("--exclude", multiple=True, metavar="GLOB", help="Not what matches; may be given again."),
        click.option("--delete", is_flag=True, help="Delete at the destination what the source does not have."),
        click.option("--checksum", is_flag=True, help="Trust no times: compare the contents of files of equal size."),
        click.option("--follow-links", is_flag=True, help="Send what symbolic links point to."),
        click.option("--bucket", default="", metavar="NAME", help="Another bucket than the project's."),
        options.yes,
    )):  # fmt: skip
        command = option(command)
    return options.pass_session(command)


@data.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("prefix", default="data/")
@transferring
def push(session: Session, directory: Path, prefix: str, **chosen: Any) -> None:
    """Bring DIRECTORY to S3, below PREFIX (data/ when it is left out).

    \b
    pcinfra data push ./corpus data/corpus
    pcinfra data push ./corpus data/corpus --exclude '*.tmp' --dry-run
    pcinfra data push ./corpus data/corpus --delete     and delete there what is not here
    """
    from pcinfra.cli import transferring as how

    how.push(session, directory, prefix, how.Choice(**chosen))


@data.command()
@click.argument("prefix")
@click.argument("directory", type=click.Path(path_type=Path), required=False)
@transferring
def pull(session: Session, prefix: str, directory: Path | None, **chosen: Any) -> None:
    """Bring what is below PREFIX in S3 to DIRECTORY (the prefix's own name when it is left out).

    \b
    pcinfra data pull results/run7                 to ./run7
    pcinfra data pull results/run7 /tmp/run7 --include '*.json'
    """
    from pcinfra.cli import transferring as how

    how.pull(session, prefix, directory, how.Choice(**chosen))


@data.command()
@click.argument("source")
@click.argument("destination")
@transferring
def sync(session: Session, source: str, destination: str, **chosen: Any) -> None:
    """Make DESTINATION hold what SOURCE holds; one of them is in S3 (s3:PREFIX or s3://BUCKET/PREFIX).

    \b
    pcinfra data sync ./corpus s3:data/corpus
    pcinfra data sync s3:results ./results --delete
    """
    from pcinfra.cli import transferring as how
    from pcinfra.errors import UsageError

    there, choice = [how.is_remote(place) for place in (source, destination)], how.Choice(**chosen)
    if there == [False, True]:
        how.push(session, Path(source), destination, choice)
    elif there == [True, False]:
        how.pull(session, source, Path(destination), choice)
    else:
        which = "both are in S3" if there[0] else "neither is in S3"
        raise UsageError(which, where=f"{source} {destination}", hint="pcinfra data sync ./directory s3:data/directory")


@data.command()
@click.argument("prefix", default="data/")
@click.option("--recursive", "-r", is_flag=True, help="Everything below, not only the next level.")
@click.option("--bucket", default="", metavar="NAME", help="Another bucket than the project's.")
@options.output
@options.pass_session
def ls(session: Session, prefix: str, recursive: bool, bucket: str, output: str) -> None:
    """List what is below PREFIX in S3 (data/ when it is left out; s3: is the whole bucket).

    JSON fields: name, size (bytes; null for a folder), modified (ISO 8601; null for a folder).

    \b
    pcinfra data ls results
    pcinfra data ls s3: --recursive --output json | jq 'map(.size // 0) | add'
    """
    from pcinfra.cli import transferring as how

    how.ls(session, prefix, bucket, recursive, output)


# --- Lustre ---------------------------------------------------------------------------------------------------------


@data.command(name="import")
@click.argument("paths", nargs=-1)
@click.option("--timeout", type=click.IntRange(min=1), default=7200, show_default=True, help="Give up after SECONDS.")
@options.pass_session
def import_(session: Session, paths: tuple[str, ...], timeout: int) -> None:
    """Tell Lustre what S3 holds: names and metadata now, contents when they are first read.

    PATHS are names of associations or directories on Lustre; everything when left out.

    \b
    pcinfra data import
    pcinfra data import data /lustre/checkpoints/run7
    """
    from pcinfra import ui
    from pcinfra.stages import data_tasks

    facts = _associations(session)
    chosen = data_tasks.areas(session.project, facts, paths, exporting=False)
    session.run(data_tasks.import_(facts, chosen), limit=timeout)
    ui.out().print(_report(session, facts, "imported"), markup=False)


@data.command()
@click.argument("paths", nargs=-1)
@click.option("--timeout", type=click.IntRange(min=1), default=7200, show_default=True, help="Give up after SECONDS.")
@options.pass_session
def export(session: Session, paths: tuple[str, ...], timeout: int) -> None:
    """Bring what is on Lustre and not yet in S3 to S3.

    PATHS are names of associations or directories on Lustre; when left out, every association that exports.
    Automatic export is off while the task runs, and on again whatever becomes of it.

    \b
    pcinfra data export
    pcinfra data export results /lustre/checkpoints/run7
    """
    from pcinfra import ui
    from pcinfra.stages import data_tasks

    facts = _associations(session)
    chosen = data_tasks.areas(session.project, facts, paths, exporting=True)
    run_export(session, facts, chosen, timeout)
    ui.out().print(_report(session, facts, "exported"), markup=False)


def run_export(session: Session, facts: AssociationFacts, chosen: list[Area], timeout: int) -> None:
    """Export, and switch automatic export on again whatever comes of it; Ctrl-C cancels the task first."""
    from pcinfra.errors import Interrupted
    from pcinfra.stages import data_tasks

    steps = data_tasks.export(session.project, facts, chosen)
    try:
        session.run(steps.run, limit=timeout)
    except Interrupted:
        session.run(data_tasks.cancellation(facts.file_system, chosen), limit=timeout)
        raise
    finally:
        session.run(steps.resume, limit=timeout)


@data.command()
@options.output
@options.pass_session
def status(session: Session, output: str) -> None:
    """Show the associations, what waits to be exported, and the last tasks.

    JSON fields: file_system, oldest_waiting_seconds (null: not known), associations (path, s3, state, auto_import,
    auto_export) and tasks (id, type, paths, state, begun, total, succeeded, failed, failure).

    \b
    pcinfra data status
    pcinfra data status --output json | jq .oldest_waiting_seconds
    """
    from pcinfra.stages import data_tasks

    facts = _associations(session)
    tasks = data_tasks.tasks(session.cloud, facts.file_system) if facts.file_system else []
    waiting = data_tasks.oldest_waiting(session.cloud, facts.file_system) if facts.file_system else None
    if output == "json":
        from pcinfra.ui import print_json

        print_json(_as_json(facts, tasks, waiting))
    else:
        _print(facts, tasks, waiting)


def _associations(session: Session) -> AssociationFacts:
    from pcinfra.stages.associations import AssociationFacts

    return session.facts().of(AssociationFacts)


def _report(session: Session, facts: AssociationFacts, verb: str) -> str:
    from pcinfra.stages import data_tasks

    task = data_tasks.tasks(session.cloud, facts.file_system)[0]
    failed = f", {task.failed} failed" if task.failed else ""
    return f"{verb}: {task.succeeded} of {task.total} file(s){failed}  ({task.id})"


def _as_json(facts: AssociationFacts, tasks: list[Task], waiting: float | None) -> dict[str, Any]:
    from pcinfra.stages.association_operations import EXPORT_POLICY, IMPORT_POLICY

    return {
        "file_system": facts.file_system or None,
        "oldest_waiting_seconds": waiting,
        "associations": [
            {
                "path": found.path,
                "s3": found.repository,
                "state": found.state,
                "auto_import": list(found.policies.get(IMPORT_POLICY, ())),
                "auto_export": list(found.policies.get(EXPORT_POLICY, ())),
            }
            for found in facts.found.values()
        ],
        "tasks": [
            {
                "id": task.id, "type": task.kind, "paths": list(task.paths), "state": task.state, "begun": task.begun,
                "total": task.total, "succeeded": task.succeeded, "failed": task.failed, "failure": task.failure,
            }
            for task in tasks
        ],
    }  # fmt: skip


def _print(facts: AssociationFacts, tasks: list[Task], waiting: float | None) -> None:
    from pcinfra.stages.association_operations import EXPORT_POLICY, IMPORT_POLICY
    from pcinfra.stages.associations import MOUNT
    from pcinfra.ui import duration, out, print_table

    policies = (IMPORT_POLICY, EXPORT_POLICY)
    rows = [
        (MOUNT + a.path, a.repository, *(",".join(a.policies.get(p, ())) or "-" for p in policies), a.state)
        for a in facts.found.values()
    ]
    print_table(("LUSTRE", "S3", "IMPORTS", "EXPORTS", "STATE"), rows)
    age = "not known (CloudWatch has no figure)" if waiting is None else duration(waiting) if waiting else "none"
    out().print(f"\noldest change that waits for automatic export or import: {age}", markup=False)
    manual = [MOUNT + found.path for found in facts.found.values() if not found.policies.get(EXPORT_POLICY)]
    if manual:
        what = f"not exported by itself: what is written below {', '.join(manual)}, or outside of every association"
        out().print(f"{what}\n  pcinfra data export PATH", markup=False)
    if tasks:
        out().print()
        shown = [(t.begun, t.kind.partition("_")[0].lower(), " ".join(t.paths) or "everything", t.state,
                  f"{t.succeeded}/{t.total}", t.failed or "", t.failure) for t in tasks[:10]]  # fmt: skip
        print_table(("TASK BEGUN", "TYPE", "PATHS", "STATE", "FILES", "FAILED", "WHY"), shown)

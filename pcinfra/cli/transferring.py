"""How ``pcinfra data`` transfers: where to, what first, what the user is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcinfra import transfer
from pcinfra.cli import meter, options
from pcinfra.errors import Refused, ResourceFailed, UsageError
from pcinfra.transfer import bucket as s3
from pcinfra.transfer.crt import Crt
from pcinfra.transfer.listing import listing
from pcinfra.transfer.names import shown
from pcinfra.transfer.run import Mover
from pcinfra.transfer.scan import scan
from pcinfra.ui import duration, out, print_json, print_table

if TYPE_CHECKING:
    from pcinfra.cli.session import Session
    from pcinfra.transfer import Problem, Summary, TransferPlan

LISTED = 20  # problems of one kind that are named


@dataclass(frozen=True, slots=True)
class Choice:
    """The options of a transfer, as they are typed."""

    dry_run: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    delete: bool = False
    checksum: bool = False
    follow_links: bool = False
    bucket: str = ""
    yes: bool = False

    @property
    def filter(self) -> transfer.Filter:
        return transfer.Filter(self.include, self.exclude)


@dataclass(frozen=True, slots=True)
class Remote:
    """A prefix of a bucket; it is empty, or ends in ``/``."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


def is_remote(place: str) -> bool:
    """Return whether ``place`` is in S3: everything else is a path here."""
    return place.startswith("s3:")


def remote(session: Session, place: str, other: str) -> Remote:
    """Return where ``place`` is: ``PREFIX``, ``s3:PREFIX`` or ``s3://BUCKET/PREFIX``.

    Args:
        other: the bucket that the user allowed by name; empty is the project's.

    Raises:
        UsageError: it cannot be a prefix.
        Refused: it is in another bucket.
    """
    ours = other or _bucket(session)
    named, prefix = ours, place.removeprefix("s3:")
    if place.startswith("s3://"):
        named, _, prefix = place.removeprefix("s3://").partition("/")
    if named not in ("", ours):
        raise Refused("is not the bucket of this project", where=f"s3://{named}", hint=f"--bucket {named}")
    if prefix.startswith("/"):
        raise UsageError("a prefix does not begin with /", where=place, hint=prefix.lstrip("/") or "s3:")
    return Remote(ours, f"{prefix.rstrip('/')}/" if prefix.strip("/") else "")


def _bucket(session: Session) -> str:
    name = session.project.bucket.name
    return session.project.bucket_name(session.cloud.account if name == "auto" else "")


def push(session: Session, directory: Path, place: str, choice: Choice) -> None:
    """Bring ``directory`` to S3."""
    to = remote(session, place, choice.bucket)
    _check_deletion(to, choice)
    here = scan(directory, choice.filter, choice.follow_links)
    http = Crt(session.target, to.bucket)
    there = listing(http, to.prefix, choice.filter)
    plan = transfer.plan_push(here, there, to.prefix, delete=choice.delete, thorough=choice.checksum)
    plan = transfer.settle(plan, directory)
    mover = Mover(http, directory, to.prefix, transfer.Meter(len(plan.moves), plan.size), choice.follow_links)
    _carry_out(plan, mover, choice, f"{directory} → {to}")


def pull(session: Session, place: str, directory: Path | None, choice: Choice) -> None:
    """Bring a prefix of S3 here."""
    source = remote(session, place, choice.bucket)
    directory = directory or Path(source.prefix.rstrip("/").rpartition("/")[2] or source.bucket)
    http = Crt(session.target, source.bucket)
    there = listing(http, source.prefix, choice.filter)
    if not there.files and not there.problems:
        raise UsageError("there is nothing", where=str(source), hint="pcinfra data ls s3:")
    if not choice.dry_run:
        _make(directory)
    here = scan(directory, choice.filter) if directory.exists() else transfer.Local()
    plan = transfer.plan_pull(here, there, delete=choice.delete, thorough=choice.checksum)
    plan = transfer.settle(plan, directory)
    mover = Mover(http, directory, source.prefix, transfer.Meter(len(plan.moves), plan.size))
    _carry_out(plan, mover, choice, f"{source} → {directory}")


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot be made: {error.strerror}", where=str(directory), hint="another directory") from error


def _check_deletion(to: Remote, choice: Choice) -> None:
    """The bucket also holds what clusters need: nothing may be deleted at its top."""
    if choice.delete and not to.prefix:
        raise Refused("would delete what clusters need", where=f"--delete {to}", hint="a prefix such as s3:data/")


def _carry_out(plan: TransferPlan, mover: Mover, choice: Choice, what: str) -> None:
    if choice.dry_run:
        _print_plan(plan, what)
        return
    if plan.deletions:
        size = meter.size(sum(step.size for step in plan.deletions))
        options.confirm(f"{what}: delete {len(plan.deletions)} file(s), {size}?", choice.yes)
    with meter.shown(mover.meter):
        summary = transfer.run(plan, mover)
    _tell(summary, what)


def _print_plan(plan: TransferPlan, what: str) -> None:
    console = out()
    for step in plan.steps:
        console.print(f"{step.kind}  {shown(step.name)}  {meter.size(step.size)}  ({step.why})", markup=False)
    for problem in plan.problems:
        console.print(f"skip  {shown(problem.name)}  ({problem.why})", markup=False)
    moves = f"{len(plan.moves):,} file(s), {meter.size(plan.size)}, would be moved"
    gone = f", {len(plan.deletions):,} deleted" if plan.deletions else ""
    console.print(f"{what}: {moves}{gone}; {plan.same:,} equal already. Nothing was changed.", markup=False)


def _tell(summary: Summary, what: str) -> None:
    """Say what was done.

    Raises:
        ResourceFailed: something was not.
    """
    console = out()
    _list("skipped", [problem for problem in summary.problems if problem.harmless])
    rate = meter.size((summary.moved_size - summary.reused_size) / max(summary.seconds, 1e-3))
    moved = f"{summary.moved:,} file(s), {meter.size(summary.moved_size)}"
    took = f" in {duration(summary.seconds)}, {rate}/s" if summary.moved else ""
    gone = f"; {summary.deleted:,} deleted" if summary.deleted else ""
    kept = f"; {meter.size(summary.reused_size)} of it were there from an earlier try" if summary.reused_size else ""
    proven = "; each verified by checksum" if summary.moved and not summary.unverified else ""
    console.print(f"{what}: {moved}{took}{kept}{gone}; {summary.same:,} equal already{proven}", markup=False)
    if summary.unverified:
        why = "S3 keeps no checksum of them that can be compared; their sizes are right"
        console.print(f"{summary.unverified:,} file(s) could not be verified: {why}", markup=False)
    _list("failed", summary.failures)
    if summary.failures:
        raise ResourceFailed(
            f"{len(summary.failures)} file(s) were not transferred", where=what,
            hint="mend what is said above, then the same command again",
        )  # fmt: skip


def _list(verb: str, problems: list[Problem]) -> None:
    for problem in problems[:LISTED]:
        name = f"  {shown(problem.name)}" if problem.name else ""
        out().print(f"{verb}{name}: {shown(problem.why)}", markup=False)
    if len(problems) > LISTED:
        out().print(f"{verb}: {len(problems) - LISTED:,} more", markup=False)


def ls(session: Session, place: str, other: str, recursive: bool, output: str) -> None:
    """Print what is below a prefix."""
    where = remote(session, place, other)
    http = Crt(session.target, where.bucket)
    rows: list[dict[str, Any]] = []
    for page in s3.pages(http, where.prefix, "" if recursive else "/"):
        begin = len(where.prefix)
        rows += [{"name": folder[begin:], "size": None, "modified": None} for folder in page.folders]
        rows += [
            {"name": key[begin:], "size": file.size, "modified": _iso(file.modified)}
            for key, file in page.files.items()
            if key[begin:]
        ]
    if output == "json":
        print_json(rows)
        return
    cells = [("" if r["size"] is None else meter.size(r["size"]), r["modified"] or "", shown(r["name"])) for r in rows]
    print_table(("SIZE", "MODIFIED", str(where)), cells)


def _iso(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")

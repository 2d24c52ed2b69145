"""``pcinfra image``: the images that jobs run in, and their repositories."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli import options
from pcinfra.cli.runs import cluster_option, head_of, named
from pcinfra.cli.session import Session
from pcinfra.images import builders
from pcinfra.images.listing import SEVERITIES

if TYPE_CHECKING:
    from pcinfra.engine import Plan
    from pcinfra.images.listing import Found
    from pcinfra.images.model import Builder

_EPILOG = """\b
  pcinfra image push                       build each whose context changed, and push it
  pcinfra image push pytorch               only this one
  pcinfra image push --builder codebuild   the same in your account: nothing large leaves this machine
  pcinfra image build                      only build, to try it here
  pcinfra image list                       what is in the repositories
  pcinfra image scan --fail-on critical    ask ECR for known holes
  pcinfra image prune --days 14            remove imported copies on Lustre that no job has used for two weeks"""

CHOICES = [builders.AUTO, *(builder.name for builder in builders.REGISTRY if builder.name != "record")]

_builder = click.option(
    "--builder", type=click.Choice(CHOICES), default=None, help="What builds it.  [default: as in pcinfra.yaml]"
)
_names = click.argument("names", metavar="[NAME]...", nargs=-1)


@click.group(epilog=_EPILOG)
def image() -> None:
    """Build the images of the project, push them, and see what is in their repositories.

    NAME is that of an image in pcinfra.yaml; without one, it is all of them.
    """


@image.command(short_help="Build on this machine; push nothing.")
@_names
@_builder
@options.pass_session
def build(session: Session, names: tuple[str, ...], builder: str | None) -> None:
    """Build images with docker, podman or buildah, under the names that they will be pushed by.

    What was built of the same files before is not built again. CodeBuild keeps nothing that is not pushed: where it
    is the builder, this is `pcinfra image push`.
    """
    from pcinfra.engine import Plan
    from pcinfra.stages.image import order

    if builder:
        _check(session, builder, pushes=False)
    wanted = _chosen(session, names)
    facts = session.facts()
    makers = {name: _maker(session, name, builder) for name in wanted}
    here = [name for name, maker in makers.items() if maker.here]
    orders = {name: order(session.project, facts, name) for name in here}
    session.run(Plan(tuple(a for name, one in orders.items() for a in makers[name].build(one, "asked for"))))
    for one in orders.values():
        for full in one.names:
            click.echo(full)
    if elsewhere := tuple(name for name in wanted if name not in here):
        click.echo(f"{makers[elsewhere[0]].name} keeps only what it pushes: this pushes", err=True)
        _push(session, elsewhere, builder, dry_run=False)


@image.command(short_help="Build what changed, and push it.")
@_names
@_builder
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@options.pass_session
def push(session: Session, names: tuple[str, ...], builder: str | None, dry_run: bool) -> None:
    """Bring the image of the present context into its repository, which is made if need be.

    A tag of the image carries the digest of its context: where the repository has it, nothing is built or pushed.
    """
    if builder:
        _check(session, builder, pushes=True)
    _push(session, _chosen(session, names), builder, dry_run)


@image.command(name="list", short_help="List what is in the repositories.")
@_names
@options.output
@options.pass_session
def list_(session: Session, names: tuple[str, ...], output: str) -> None:
    """List what the repositories hold, the newest first: digest, tags, size, when pushed, findings of scans."""
    from pcinfra.ui import print_json, print_table

    found = [(name, row) for name in _chosen(session, names) for row in _images(session, name)]
    if output == "json":
        print_json([{"image": name, **_fields(row)} for name, row in found])
    elif found:
        cells = ((name, *_cells(row)) for name, row in found)
        print_table(("IMAGE", "DIGEST", "TAGS", "SIZE", "PUSHED", "FINDINGS"), cells)
    else:
        click.echo(session.typed("no images; to make one: pcinfra image push"))


@image.command(short_help="Let ECR look for known holes.")
@_names
@click.option("--tag", default="", help="The image with this tag or digest.  [default: the one that jobs use]")
@click.option(
    "--fail-on",
    type=click.Choice([name.lower() for name in SEVERITIES]),
    help="Exit with 1 if there are such or worse.",
)
@options.output
@options.pass_session
def scan(session: Session, names: tuple[str, ...], tag: str, fail_on: str | None, output: str) -> None:
    """Scan images, those that jobs use if not said otherwise, and wait for the findings.

    \b
    pcinfra image scan                             every image of pcinfra.yaml
    pcinfra image scan pytorch --tag v2            one that jobs do not use yet
    pcinfra image scan --fail-on high              for CI
    """
    from pcinfra.engine import Plan
    from pcinfra.images import listing
    from pcinfra.ui import print_json

    found = {name: _one(session, name, tag) for name in _chosen(session, names)}
    findings: dict[str, dict[str, int] | None] = dict.fromkeys(found)
    if session.target.registry:
        actions = {name: listing.scan(name, _repository(session, name), row) for name, row in found.items()}
        results = session.run(Plan(tuple(actions.values())))
        findings = {name: results[action.id] for name, action in actions.items()}
    else:
        click.echo("the local cloud has no scanner", err=True)
    if output == "json":
        rows = ({"image": name, "digest": row.digest, "findings": findings[name]} for name, row in found.items())
        print_json(list(rows))
    else:
        for name, row in found.items():
            click.echo(f"{name} {row.digest[:19]}: {listing.words(findings[name])}")
    if fail_on and any(one is None or listing.at_least(one, fail_on.upper()) for one in findings.values()):
        raise click.exceptions.Exit(1)


@image.command(short_help="Remove imported images that no job uses.")
@click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="Unused for so long.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@cluster_option
@options.output
@options.pass_session
def prune(session: Session, days: int, dry_run: bool, cluster: str | None, output: str) -> None:
    """Remove what was imported for the jobs of a cluster (`.images` beside the run directories) and is unused.

    An image that a job waits for or uses stays, however old it is. What is removed is imported again when a job
    needs it.

    \b
    pcinfra image prune --dry-run
    pcinfra image prune --days 14 --cluster train
    """
    from pcinfra.jobs.slurm.images import prune as pruned
    from pcinfra.ui import print_json, print_table

    found = pruned(head_of(session, named(session, cluster)), days, dry=dry_run)
    if output == "json":
        print_json([asdict(each) for each in found])
    elif found:
        cells = ((each.digest[:16], f"{each.size / 1e9:.2f} GB", f"{each.age} d", each.what) for each in found)
        print_table(("DIGEST", "SIZE", "UNUSED FOR", "WHAT"), cells)
    else:
        click.echo("no imported images")


def _chosen(session: Session, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the images that are meant: ``names``, or all of the project.

    Raises:
        UsageError: the project has no such image.
    """
    from difflib import get_close_matches

    from pcinfra.errors import UsageError

    known = tuple(session.project.images)
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1) or known
            raise UsageError(f"no image {name!r} in pcinfra.yaml", hint=f"one of: {', '.join(near)}")
    return tuple(dict.fromkeys(names)) or known


def _repository(session: Session, name: str) -> str:
    return session.project.images[name].repository


def _images(session: Session, name: str) -> list[Found]:
    from pcinfra.images.listing import images

    return images(session.cloud, _repository(session, name), session.target.registry)


def _check(session: Session, name: str, pushes: bool) -> None:
    """Refuse a builder that cannot do what was asked of it.

    Raises:
        MissingTool: it does not run here.
        Refused: nothing can be pushed to the local cloud.
    """
    from pcinfra.errors import MissingTool, Refused

    chosen = builders.named(name) if name != builders.AUTO else None
    if not session.target.registry and (pushes or chosen is None or not chosen.here):
        raise Refused(
            "the local cloud has no registry to push to: an image there is its manifest", where=f"--builder {name}",
            hint="pcinfra image push",
        )  # fmt: skip
    why = chosen.why_not(session.doors) if chosen else ""
    if why:
        raise MissingTool(why, where=f"--builder {name}", hint="pcinfra image push --builder codebuild")


def _maker(session: Session, image: str, name: str | None) -> Builder:
    """Return what builds ``image``; on the local cloud too, an engine that was named does."""
    if name and name != builders.AUTO:
        return builders.named(name)
    return builders.choose(session.doors, name or session.project.images[image].builder)


def _push(session: Session, names: tuple[str, ...], builder: str | None, dry_run: bool) -> None:
    from pcinfra.stages.image import named
    from pcinfra.ui import print_plan

    plan = _publishing(session, names, builder)
    if dry_run or not plan.actions:
        print_plan(plan)
        return
    session.run(plan)
    facts = session.facts()
    for name in names:
        found = named(session.project, facts, name)
        tags = next((row.tags for row in _images(session, name) if row.digest == found.digest), ())
        click.echo(f"{found.repository}@{found.digest}  {' '.join(tags)}")


def _publishing(session: Session, names: tuple[str, ...], builder: str | None) -> Plan:
    """Return the Plan that brings images into their repositories, with ``builder`` in place of the project's."""
    from pcinfra.engine import Plan
    from pcinfra.stages.image import up_of

    if builder:
        settings = {name: each.model_copy(update={"builder": builder}) for name, each in session.project.images.items()}
        session.project = session.project.model_copy(update={"images": settings})
    facts = session.facts()
    actions = {action.id: action for name in names for action in up_of(session.project, facts, name)}
    return Plan(tuple(actions.values()))


def _one(session: Session, name: str, tag: str) -> Found:
    """Return the image of ``name`` with a tag or digest; without one, the image that jobs use."""
    from pcinfra.errors import NotFound
    from pcinfra.images.reference import find

    wanted = tag or find(session.project, session.cloud, name).tag
    for found in _images(session, name):
        digest = wanted.startswith("sha256:") and found.digest.startswith(wanted)
        if wanted in found.tags or digest:
            return found
    hint = f"pcinfra image list {name}"
    raise NotFound(f"no image {wanted!r}", where=f"repository {_repository(session, name)}", hint=hint)


def _fields(row: Found) -> dict[str, Any]:
    return {**asdict(row), "pushed": row.pushed.isoformat() if row.pushed else None}


def _cells(row: Found) -> tuple[str, ...]:
    from pcinfra.images.listing import words

    pushed = row.pushed.astimezone().strftime("%Y-%m-%d %H:%M") if row.pushed else ""
    size = f"{row.size / 1e9:.2f} GB" if row.size else "unknown"
    return row.digest[:19], " ".join(row.tags), size, pushed, words(row.findings)

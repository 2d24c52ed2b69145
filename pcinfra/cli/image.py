"""``pcinfra image``: the training image and its repository."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli import options
from pcinfra.cli.session import Session
from pcinfra.images import builders
from pcinfra.images.listing import SEVERITIES

if TYPE_CHECKING:
    from pcinfra.engine import Plan
    from pcinfra.images.listing import Found
    from pcinfra.images.model import Builder

_EPILOG = """\b
  pcinfra image push                       build it if its context changed, and push it
  pcinfra image push --builder codebuild   the same in your account: nothing large leaves this machine
  pcinfra image build                      only build it, to try it here
  pcinfra image list                       what is in the repository
  pcinfra image scan --fail-on critical    ask ECR for known holes"""

CHOICES = [builders.AUTO, *(builder.name for builder in builders.REGISTRY if builder.name != "record")]

_builder = click.option(
    "--builder", type=click.Choice(CHOICES), default=None, help="What builds it.  [default: image.builder]"
)


@click.group(epilog=_EPILOG)
def image() -> None:
    """Build the training image, push it, and see what is in the repository."""


@image.command(short_help="Build it on this machine; push nothing.")
@_builder
@options.pass_session
def build(session: Session, builder: str | None) -> None:
    """Build the image with docker, podman or buildah, under the names that it will be pushed by.

    What was built of the same files before is not built again. CodeBuild keeps nothing that is not pushed: where it
    is the builder, this is `pcinfra image push`.
    """
    from pcinfra.engine import Plan
    from pcinfra.stages.image import order

    if builder:
        _check(session, builder, pushes=False)
    chosen = _chosen(session, builder)
    if not chosen.here:
        click.echo(f"{chosen.name} keeps only what it pushes: this pushes", err=True)
        _push(session, builder, dry_run=False)
        return
    wanted = order(session.project, session.facts())
    session.run(Plan(chosen.build(wanted, "asked for")))
    for name in wanted.names:
        click.echo(name)


@image.command(short_help="Build it if its context changed, and push it.")
@_builder
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@options.pass_session
def push(session: Session, builder: str | None, dry_run: bool) -> None:
    """Bring the image of the present context into the repository, which is made if need be.

    A tag of the image carries the digest of its context: where the repository has it, nothing is built or pushed.
    """
    if builder:
        _check(session, builder, pushes=True)
    _push(session, builder, dry_run)


@image.command(name="list", short_help="List the images of the repository.")
@options.output
@options.pass_session
def list_(session: Session, output: str) -> None:
    """List the images of the repository, the newest first: digest, tags, size, when pushed, findings of scans."""
    from pcinfra.images.listing import images
    from pcinfra.ui import print_json, print_table

    found = images(session.cloud, session.project.image.repository, session.target.registry)
    if output == "json":
        print_json([_fields(row) for row in found])
    elif found:
        print_table(("DIGEST", "TAGS", "SIZE", "PUSHED", "FINDINGS"), map(_cells, found))
    else:
        click.echo(session.typed("no images; to make one: pcinfra image push"))


@image.command(short_help="Let ECR look for known holes in it.")
@click.argument("tag", required=False)
@click.option(
    "--fail-on",
    type=click.Choice([name.lower() for name in SEVERITIES]),
    help="Exit with 1 if there are such or worse.",
)
@options.output
@options.pass_session
def scan(session: Session, tag: str | None, fail_on: str | None, output: str) -> None:
    """Scan the image with TAG or digest TAG, image.tag if not said, and wait for the findings."""
    from pcinfra.engine import Plan
    from pcinfra.images import listing
    from pcinfra.ui import print_json

    found = _one(session, tag or session.project.image.tag)
    findings: dict[str, int] | None = None
    if session.target.registry:
        plan = Plan((listing.scan(session.project.image.repository, found),))
        findings = session.run(plan)[listing.SCAN]
    else:
        click.echo("the local cloud has no scanner", err=True)
    if output == "json":
        print_json({"digest": found.digest, "findings": findings})
    else:
        click.echo(f"{found.digest[:19]}: {listing.words(findings)}")
    if fail_on and (findings is None or listing.at_least(findings, fail_on.upper())):
        raise click.exceptions.Exit(1)


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


def _chosen(session: Session, name: str | None) -> Builder:
    """On the local cloud too, an engine that was named builds."""
    if name and name != builders.AUTO:
        return builders.named(name)
    return builders.choose(session.doors, name or session.project.image.builder)


def _push(session: Session, builder: str | None, dry_run: bool) -> None:
    from pcinfra.images.listing import images
    from pcinfra.stages.image import ImageFacts
    from pcinfra.ui import print_plan

    plan = _publishing(session, builder)
    if dry_run or not plan.actions:
        print_plan(plan)
        return
    session.run(plan)
    repository = session.project.image.repository
    context_tag = session.facts().of(ImageFacts).context_tag
    found = next(row for row in images(session.cloud, repository) if context_tag in row.tags)
    click.echo(f"{repository}@{found.digest}  {' '.join(found.tags)}")


def _publishing(session: Session, builder: str | None) -> Plan:
    """Return the Plan of the stage, with ``builder`` in place of the project's."""
    from pcinfra.stages.image import Image

    if builder:
        settings = session.project.image.model_copy(update={"builder": builder})
        session.project = session.project.model_copy(update={"image": settings})
    return Image().up(session.project, session.facts())


def _one(session: Session, name: str) -> Found:
    from pcinfra.errors import NotFound
    from pcinfra.images.listing import images

    repository = session.project.image.repository
    for found in images(session.cloud, repository):
        if name in found.tags or name == found.digest or (name.startswith("sha256:") and found.digest.startswith(name)):
            return found
    raise NotFound(f"no image {name!r}", where=f"repository {repository}", hint="pcinfra image list")


def _fields(row: Found) -> dict[str, Any]:
    return {**asdict(row), "pushed": row.pushed.isoformat() if row.pushed else None}


def _cells(row: Found) -> tuple[str, ...]:
    from pcinfra.images.listing import words

    pushed = row.pushed.astimezone().strftime("%Y-%m-%d %H:%M") if row.pushed else ""
    size = f"{row.size / 1e9:.2f} GB" if row.size else "unknown"
    return row.digest[:19], " ".join(row.tags), size, pushed, words(row.findings)

"""``pcinfra cluster render``, and the rendered configuration for the other commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pcinfra.cli import options
from pcinfra.cli.clusters.lookup import cluster_name
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pcinfra.clusters.inputs import ClusterInputs
    from pcinfra.clusters.render import Rendered


@click.command()
@cluster_name
@click.option("--offline", is_flag=True, help="Make no call; made-up ids stand for what does not exist yet.")
@options.pass_session
def render(session: Session, name: str, offline: bool) -> None:
    """Print the pcluster configuration of cluster NAME, with the reason of each derived value."""
    click.echo(rendered(session, name, offline).text, nl=False)


def rendered(session: Session, name: str, offline: bool = False) -> Rendered:
    """Return the configuration of cluster ``name``, and what in it came from overrides.

    Raises:
        UsageError: the project file has no such cluster.
        NotFound: the prerequisites stack is not complete.
    """
    from pcinfra.clusters.inputs import placeholder_inputs
    from pcinfra.clusters.render import rendered as render_all

    clusters = session.project.clusters
    if name not in clusters:
        raise _unknown(name, list(clusters))
    inputs = placeholder_inputs(session.project) if offline else _inputs(session)
    return render_all(name, clusters[name], inputs)


def _inputs(session: Session) -> ClusterInputs:
    from pcinfra import cloudformation
    from pcinfra.clusters.inputs import inputs_from_outputs

    stack = cloudformation.find(session.cloud, session.project.prerequisites.stack)
    return inputs_from_outputs(stack.outputs if stack else {}, session.project, session.cloud.account)


def _unknown(name: str, known: Sequence[str]) -> Exception:
    from difflib import get_close_matches

    from pcinfra.errors import UsageError

    near = get_close_matches(name, known, 1) or list(known)
    return UsageError(f"no cluster {name!r} in the project file", hint=" or ".join(near) or "add it under clusters:")

"""``pcinfra cluster``: one file per command, imported when it is used."""

from __future__ import annotations

import click

from pcinfra.cli.lazy import LazyGroup

COMMANDS: dict[str, tuple[str, str, str]] = {
    "render": ("pcinfra.cli.clusters.render", "render", "Print its pcluster configuration."),
    "validate": ("pcinfra.cli.clusters.validate", "validate", "Check its configuration; create nothing."),
    "create": ("pcinfra.cli.clusters.create", "create", "Create it and wait until it is ready."),
    "update": ("pcinfra.cli.clusters.update", "update", "Bring it to what pcinfra.yaml says now."),
    "start": ("pcinfra.cli.clusters.fleet", "start", "Start its compute nodes."),
    "stop": ("pcinfra.cli.clusters.fleet", "stop", "Stop its compute nodes; the head node stays."),
    "list": ("pcinfra.cli.clusters.listing", "list_", "List this project's clusters."),
    "show": ("pcinfra.cli.clusters.listing", "show", "Show its state, and why it failed if it did."),
    "connect": (
        "pcinfra.cli.clusters.connect",
        "connect",
        "Open a shell on its head node, or forward a port.",
    ),
    "exec": ("pcinfra.cli.clusters.execute", "exec_", "Run one command on its head node."),
    "logs": ("pcinfra.cli.clusters.logs", "logs", "Print the logs of its nodes."),
    "events": ("pcinfra.cli.clusters.logs", "events", "Print what CloudFormation did for it."),
    "diagnose": ("pcinfra.cli.clusters.diagnose", "diagnose", "Gather everything about it; find known causes."),
    "delete": ("pcinfra.cli.clusters.delete", "delete", "Delete it and wait until it is gone."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def cluster() -> None:
    """Create, change, look into and delete ParallelCluster clusters."""

"""``pcinfra instances``: what there is to choose from, and how its parts are joined."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pcinfra.cli import options
from pcinfra.cli.session import REFRESHED, Session

if TYPE_CHECKING:
    from pcinfra.catalog import InstanceType


@click.command(short_help="Show instance types and how their GPUs and networks are joined.")
@click.argument("name", metavar="[TYPE]", default="")
@click.option("--family", metavar="PREFIX", default="", help="Only types that begin so: p5, g6e, c7i.")
@click.option("--all", "every", is_flag=True, help="Also types without GPUs and EFA.")
@click.option("--region", metavar="REGION", default="", help="Only types that EC2 has there (asks EC2).")
@click.option("--refresh", is_flag=True, help="Ask EC2 for all types anew, and use its answer for this project.")
@options.output
@options.pass_session
def instances(session: Session, name: str, family: str, every: bool, region: str, refresh: bool, output: str) -> None:
    """Show the instance types with GPUs or EFA; of one TYPE, how its parts are joined.

    \b
    pcinfra instances                        types for training
    pcinfra instances p5.48xlarge            GPU, system and node interconnect, and the I/O path
    pcinfra instances --family c7i --all     a family without GPUs
    pcinfra instances --region eu-north-1    what that region has
    pcinfra instances --refresh              types newer than this version of pcinfra
    """
    from pcinfra import catalog
    from pcinfra.ui import print_json

    if refresh:
        _refresh(session)
    else:
        session.use_refreshed_catalog()
    if name:
        kind = catalog.find(name, "TYPE")
        print_json(_as_json(kind)) if output == "json" else _show(kind)
        return
    there = _offered(session, region) if region else None
    kinds = [catalog.find(each) for each in catalog.names() if each.startswith(family)]
    kinds = [k for k in kinds if (every or k.gpus or k.efa_cards) and (there is None or k.name in there)]
    print_json([asdict(kind) for kind in kinds]) if output == "json" else _table(kinds)


def _as_json(kind: InstanceType) -> dict[str, object]:
    from pcinfra.interconnect import paths

    return {**asdict(kind), "interconnect": dict(paths(kind))}


def _show(kind: InstanceType) -> None:
    from pcinfra.catalog import SOURCE
    from pcinfra.interconnect import SOURCE as JOINED
    from pcinfra.interconnect import paths, picture
    from pcinfra.ui import print_table

    click.echo(picture(kind) + "\n")
    print_table((kind.name, ""), paths(kind))
    click.echo(f"\nsources: {SOURCE}; {JOINED}", err=True)


def _table(kinds: list[InstanceType]) -> None:
    from pcinfra.catalog import about
    from pcinfra.ui import print_table

    rows = [
        (k.name, k.vcpus, f"{k.memory_mib / 1024:g} GiB", f"{k.gpus} x {k.gpu}" if k.gpus else "",
         f"{round(k.gpu_memory_mib / 1024)} GiB" if k.gpus else "", k.efa_cards or "", k.network,
         f"{k.nvme_gb} GB" if k.nvme_gb else "")
        for k in kinds
    ]  # fmt: skip
    print_table(("TYPE", "VCPUS", "MEMORY", "GPUS", "EACH", "EFA", "NETWORK", "LOCAL NVME"), rows)
    click.echo(f"\n{len(kinds)} types. Source: {about().partition(': ')[0]}", err=True)


def _offered(session: Session, region: str) -> set[str]:
    """Return the types that ``region`` has. Source: EC2 API reference, DescribeInstanceTypeOfferings."""
    from pcinfra.aws import Aws

    cloud = Aws(session.target_in(region))
    rows = cloud.pages("ec2", "DescribeInstanceTypeOfferings", "InstanceTypeOfferings", LocationType="region")
    return {row["InstanceType"] for row in rows}


def _refresh(session: Session) -> None:
    """Write what EC2 says beside the project file: whole, or not at all."""
    from datetime import UTC, datetime

    from pcinfra import catalog, catalog_rows
    from pcinfra.cli.streams import tell

    path = session.folder / REFRESHED
    answers = session.cloud.pages("ec2", "DescribeInstanceTypes", "InstanceTypes")
    about = f"EC2 API, DescribeInstanceTypes in {session.project.region}, {datetime.now(UTC):%Y-%m-%d}"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    partial.write_text(catalog_rows.text(answers, about), encoding="ascii", errors="replace")
    partial.replace(path)
    catalog.forget()
    catalog.use(path)
    tell(f"{len(answers)} types of {session.project.region} are in {Path(path)}")

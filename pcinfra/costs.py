"""What a project costs while it is up, part by part, by a price book.

What depends on use (data kept, images kept, traffic) has a price and no total; what is not in the book says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pcinfra.clusters.derive import root_volume
from pcinfra.engine import Kind
from pcinfra.errors import UsageError
from pcinfra.prices import MONTH, Book, Price

if TYPE_CHECKING:
    from pcinfra.engine import Plan
    from pcinfra.project import Cluster, Database, Lustre, Prerequisites, Project, Queue

UNKNOWN = "price not known"
ROOT_VOLUME = "ebs/gp3"
STACK = "prerequisites"
ECR_ENDPOINTS, SSM_ENDPOINTS = 2, 3  # each in one zone


class Prices(Protocol):
    """Where prices are looked up: a :class:`~pcinfra.prices.Book`."""

    def find(self, region: str, item: str) -> Price | None: ...


@dataclass(frozen=True, slots=True)
class Cost:
    """One line of a bill in USD.

    Args:
        part: the stage, or ``cluster NAME``.
        per_hour: while it is up; None when it is not known or depends on use.
        note: how it comes about, or why it is not known.
        prices: what it was reckoned by.
    """

    part: str
    what: str
    per_hour: float | None
    note: str = ""
    prices: tuple[Price, ...] = ()

    @property
    def per_month(self) -> float | None:
        """The cost of a month of 730 hours."""
        return None if self.per_hour is None else self.per_hour * MONTH


def cost_of(project: Project, book: Prices) -> list[Cost]:
    """Return what everything that ``project`` describes costs, static nodes of every cluster included."""
    reckoner = _Reckoner(project.region, book)
    clusters = (line for name, cluster in project.clusters.items() for line in reckoner.cluster(name, cluster))
    return [*reckoner.prerequisites(project), *reckoner.by_use(), *clusters]


def items_of(project: Project) -> list[str]:
    """Return every item of the price book that the costs of ``project`` rest on."""
    asked = _Asked()
    cost_of(project, asked)
    return list(asked.items)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A book without prices that notes what it is asked for."""

    items: dict[str, None] = field(default_factory=dict)

    def find(self, region: str, item: str) -> None:
        self.items[item] = None


def of_plan(plan: Plan, project: Project, book: Book) -> list[Cost]:
    """Return what the things that ``plan`` makes or replaces will cost; empty when it makes none that cost."""
    stages = {action.stage for action in plan.actions if action.kind in (Kind.CREATE, Kind.REPLACE)}
    return [cost for cost in cost_of(project, book) if cost.part in stages]


def total(costs: Iterable[Cost]) -> float:
    """Return the sum per hour of what is known."""
    return sum(cost.per_hour for cost in costs if cost.per_hour is not None)


def unknown(costs: Iterable[Cost]) -> list[Cost]:
    """Return the lines that a total leaves out because their price is not in the book."""
    return [cost for cost in costs if UNKNOWN in cost.note]


def dates(costs: Iterable[Cost]) -> str:
    """Return the dates of the prices used: ``2026-02-09``, or ``2026-02-09 to 2026-06-01``; empty when none is."""
    found = sorted({price.date for cost in costs for price in cost.prices})
    return found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}" if found else ""


def as_json(costs: Sequence[Cost]) -> dict[str, Any]:
    """Return ``costs`` as plain data: parts, sums in USD, and the dates and sources of the prices."""
    known = [cost.what for cost in unknown(costs)]
    return {
        "currency": "USD",
        "hours_per_month": MONTH,
        "per_hour": round(total(costs), 6),
        "per_month": round(total(costs) * MONTH, 2),
        "price_not_known": known,
        "prices_of": dates(costs),
        "parts": [_part_as_json(cost) for cost in costs],
    }


def _part_as_json(cost: Cost) -> dict[str, Any]:
    return {
        "part": cost.part,
        "what": cost.what,
        "per_hour": None if cost.per_hour is None else round(cost.per_hour, 6),
        "per_month": None if cost.per_month is None else round(cost.per_month, 2),
        "note": cost.note,
        "prices": [
            {"item": p.item, "usd": p.usd, "unit": p.unit, "source": p.source, "date": p.date} for p in cost.prices
        ],
    }


@dataclass(frozen=True, slots=True)
class _Reckoner:
    """The prices of one region."""

    region: str
    book: Prices

    def prerequisites(self, project: Project) -> list[Cost]:
        """Return the costs of what the stack makes; what is adopted costs nothing more."""
        wanted = project.prerequisites
        return [
            *(self._network(wanted) if wanted.adopt.vpc is None else ()),
            *((self._lustre(wanted.lustre),) if wanted.adopt.lustre is None else ()),
            *(self._openzfs(project) if wanted.adopt.openzfs_volume is None else ()),
            *(self._database(wanted.database) if project.has_database else ()),
        ]

    def _network(self, wanted: Prerequisites) -> Iterable[Cost]:
        yield self._line(STACK, "NAT gateway", [("nat-gateway", 1.0)], "traffic comes on top")
        yield self._line(STACK, "public IPv4 address", [("public-ipv4", 1.0)], "of the NAT gateway")
        endpoints = ECR_ENDPOINTS * wanted.ecr_endpoints + SSM_ENDPOINTS * wanted.ssm_endpoints
        if endpoints:
            note = f"{endpoints}; traffic comes on top"
            yield self._line(STACK, "interface endpoints", [("interface-endpoint", float(endpoints))], note)
        yield self._rate(STACK, "traffic through the NAT gateway", "nat-gateway-data")

    def _lustre(self, lustre: Lustre) -> Cost:
        per_tib = f", {lustre.throughput} MB/s per TiB" if lustre.throughput else ""
        iops = "; metadata IOPS above those included come on top" if lustre.metadata_iops else ""
        note = f"{lustre.capacity} GiB {lustre.deployment_type} {lustre.storage_type}{per_tib}{iops}"
        return self._line(STACK, "FSx for Lustre", [(_lustre_item(lustre), float(lustre.capacity))], note)

    def _openzfs(self, project: Project) -> Iterable[Cost]:
        zfs, kind = project.prerequisites.openzfs, project.openzfs_deployment_type
        rows = [(f"openzfs/{kind}", float(zfs.capacity)), (f"openzfs-throughput/{kind}", float(zfs.throughput))]
        yield self._line(STACK, "FSx for OpenZFS", rows, f"{zfs.capacity} GiB {kind}, {zfs.throughput} MB/s")
        if zfs.backup_days or zfs.final_backup:
            yield self._rate(STACK, "backups of FSx for OpenZFS", "openzfs-backup")

    def _database(self, database: Database) -> Iterable[Cost]:
        """Aurora's own prices of backups, snapshots and reads and writes are not in the book."""
        item, least, most = "aurora-mysql/serverless-v2", database.min_capacity, database.max_capacity
        one = self._line(STACK, "accounting database", [(item, 1.0)])
        note = f"{least:g} capacity units always run, up to {most:g} come and go"
        if one.per_hour is None:
            yield Cost(STACK, one.what, None, f"{note}; {one.note}")
        else:
            note += f"; each while it runs: {one.per_hour:.2f} per hour; reads, writes and snapshots come on top"
            yield Cost(STACK, one.what, one.per_hour * least, note, one.prices)
        yield self._rate(STACK, "data of the accounting database", "aurora-mysql/storage")

    def by_use(self) -> list[Cost]:
        return [
            self._rate("bucket", "S3, data and checkpoints", "s3"),
            self._rate("image", "ECR, images", "ecr"),
        ]

    def cluster(self, name: str, cluster: Cluster) -> list[Cost]:
        part, volume, head = f"cluster {name}", cluster.head_node.volume, cluster.head_node_type
        rows = [(f"ec2/{head}", 1.0), (ROOT_VOLUME, float(volume))]
        lines = [self._line(part, "head node", rows, f"{head}, {volume} GiB")]
        if cluster.login_nodes.count:
            count, kind = cluster.login_nodes.count, cluster.login_node_choice[0]
            lines.append(self._line(part, "login nodes", [(f"ec2/{kind}", float(count))], f"{count} {kind}"))
        return lines + [self._queue(part, queue) for queue in cluster.queues]

    def _queue(self, part: str, queue: Queue) -> Cost:
        what, kind = f"queue {queue.name}", queue.instance_type
        nodes = f"{queue.min_nodes} of {queue.max_nodes} {kind} always run"
        node = [(f"ec2/{kind}", 1.0), (ROOT_VOLUME, _root_volume(queue))]
        if queue.capacity_type == "CAPACITY_BLOCK":
            nodes += "; paid for in advance with the capacity block: only the volumes cost"
            node = node[1:]
        one = self._line(part, what, node)
        if one.per_hour is None:
            return Cost(part, what, None, f"{nodes}; {one.note}")
        if queue.capacity_type == "SPOT":
            nodes += "; spot changes all the time: this is the on-demand price, and the most"
        if queue.max_nodes > queue.min_nodes:
            nodes += f"; each other node while it runs: {one.per_hour:,.2f} per hour"
        return Cost(part, what, one.per_hour * queue.min_nodes, nodes, one.prices)

    def _line(self, part: str, what: str, amounts: Sequence[tuple[str, float]], note: str = "") -> Cost:
        """Return the cost of some amounts of items, per hour or per month as each is sold."""
        found = [(self.book.find(self.region, item), amount) for item, amount in amounts]
        missing = [item for (item, _), (price, _) in zip(amounts, found, strict=True) if price is None]
        if missing:
            why = f"{UNKNOWN} in {self.region}: {', '.join(missing)}"
            return Cost(part, what, None, f"{note}; {why}" if note else why)
        known = [(price, amount) for price, amount in found if price is not None]
        return Cost(part, what, sum(_hourly(p) * amount for p, amount in known), note, tuple(p for p, _ in known))

    def _rate(self, part: str, what: str, item: str) -> Cost:
        price = self.book.find(self.region, item)
        if price is None:
            return Cost(part, what, None, f"{UNKNOWN} in {self.region}: {item}")
        return Cost(part, what, None, f"depends on use: {price.usd:g} per {price.unit}", (price,))


def _lustre_item(lustre: Lustre) -> str:
    """Return the item of the book: type, disks where they are no SSD, throughput, and the cache in front of HDD."""
    words = ["lustre", lustre.deployment_type, "" if lustre.storage_type == "SSD" else lustre.storage_type]
    words += [str(lustre.throughput or ""), "" if lustre.drive_cache == "NONE" else lustre.drive_cache]
    return "/".join(word for word in words if word)


def _hourly(price: Price) -> float:
    return price.usd if price.unit == "hour" else price.usd / MONTH


def _root_volume(queue: Queue) -> float:
    """Return the GiB of a node's root volume, as the cluster's configuration asks for; 100 for a type unknown to us."""
    from pcinfra import catalog

    if queue.root_volume is not None:
        return float(queue.root_volume)
    try:
        return float(str(root_volume(catalog.find(queue.instance_type)).value))
    except UsageError:
        return 100.0

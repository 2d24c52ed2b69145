"""The price book and the costs of a project: what is known is reckoned, what is not known is said."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pcinfra import catalog, costs, prices, stages
from pcinfra.costs import cost_of
from pcinfra.engine import Action, Kind, Plan
from pcinfra.errors import AccessDenied
from pcinfra.prices import Book, Price, bundled
from pcinfra.project import Accounting, Adopt, Cluster, Database, Lustre, Prerequisites, Project, Queue
from tests.unit.clusters.fakes import FakeCloud

BOOK = bundled()
TODAY = "2026-11-22"


def test_every_row_has_a_price_a_unit_a_source_and_a_date() -> None:
    for price in BOOK.prices.values():
        assert price.usd > 0
        assert price.unit in {"hour", "GB", "GB-month", "MBps-month"}
        assert price.source.startswith("https://")
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", price.date)
        if price.item.startswith("ec2/"):
            catalog.find(price.item.removeprefix("ec2/"))


def test_no_row_is_there_twice() -> None:
    data = Path(prices.__file__).with_name("prices.csv").read_text(encoding="utf-8")
    rows = [line for line in data.splitlines() if not line.startswith(("#", "region,"))]
    assert len(rows) == len(BOOK.prices)


def test_the_default_project_is_reckoned_to_the_cent() -> None:
    by_what = {(cost.part, cost.what): cost for cost in cost_of(Project(), BOOK)}
    assert by_what["prerequisites", "NAT gateway"].per_hour == 0.045
    assert by_what["prerequisites", "FSx for Lustre"].per_month == pytest.approx(1200 * 0.21)
    assert by_what["prerequisites", "FSx for OpenZFS"].per_month == pytest.approx(512 * 0.09 + 320 * 0.52)
    assert by_what["cluster train", "head node"].per_hour == pytest.approx(0.384 + 500 * 0.08 / 730)
    assert by_what["cluster train", "queue gpu"].per_hour == pytest.approx(2 * (55.04 + 100 * 0.08 / 730))
    assert by_what["bucket", "S3, data and checkpoints"].per_hour is None


def test_a_total_leaves_nothing_out_silently() -> None:
    lines = cost_of(Project(region="eu-north-1"), BOOK)
    assert costs.total(lines) == 0
    assert len(costs.unknown(lines)) == len(lines)
    assert all("not known in eu-north-1" in line.note for line in lines)
    assert costs.dates(lines) == ""


@pytest.mark.parametrize(
    ("queue", "per_hour", "said"),
    [
        (Queue(min_nodes=0, max_nodes=4), 0.0, "each other node while it runs: 55.05 per hour"),
        (Queue(capacity_type="SPOT"), 110.10, "on-demand price, and the most"),
        (Queue(capacity_type="CAPACITY_BLOCK", capacity_reservation="cr-0123456789abcdef0"), 0.02, "in advance"),
        (Queue(instance_type="hpc7a.96xlarge"), None, "price not known in us-east-1: ec2/hpc7a.96xlarge"),
    ],
)
def test_queues(queue: Queue, per_hour: float | None, said: str) -> None:
    line = cost_of(Project(clusters={"c": Cluster(queues=(queue,))}), BOOK)[-1]
    assert line.per_hour == (None if per_hour is None else pytest.approx(per_hour, abs=0.01))
    assert said in line.note


@pytest.mark.parametrize(
    ("lustre", "per_month"),
    [
        (Lustre(deployment_type="SCRATCH_2", throughput=None), 168.0),
        (Lustre(deployment_type="PERSISTENT_2", throughput=1000, capacity=2400), 1440.0),
        (Lustre(deployment_type="PERSISTENT_1", storage_type="HDD", throughput=12, capacity=6000), 150.0),
        (Lustre(deployment_type="PERSISTENT_1", storage_type="HDD", drive_cache="READ", throughput=12), None),
    ],
)
def test_lustre(lustre: Lustre, per_month: float | None) -> None:
    lines = cost_of(Project(prerequisites=Prerequisites(lustre=lustre)), BOOK)
    line = next(line for line in lines if line.what == "FSx for Lustre")
    assert line.per_month == (None if per_month is None else pytest.approx(per_month))


VPC = {
    "vpc": "vpc-0123456789abcdef0",
    "public_subnet": "subnet-0123456789abcdef0",
    "private_subnet": "subnet-1123456789abcdef0",
}
STORAGE = {"lustre": "fs-0123456789abcdef0", "openzfs_volume": "fsvol-0123456789abcdef0"}


@pytest.mark.parametrize(
    ("adopt", "left"),
    [
        (Adopt(**VPC), {"FSx for Lustre", "FSx for OpenZFS", "backups of FSx for OpenZFS"}),
        (Adopt(**VPC, **STORAGE), set()),
    ],
)
def test_what_is_adopted_costs_nothing_more(adopt: Adopt, left: set[str]) -> None:
    lines = cost_of(Project(prerequisites=Prerequisites(adopt=adopt)), BOOK)
    assert {line.what for line in lines if line.part == "prerequisites"} == left


@pytest.mark.parametrize(
    ("chosen", "count"), [({"ecr_endpoints": True}, 2), ({"ecr_endpoints": True, "ssm_endpoints": True}, 5)]
)
def test_interface_endpoints_are_as_many_as_the_stack_makes(chosen: dict[str, bool], count: int) -> None:
    lines = cost_of(Project(prerequisites=Prerequisites(**chosen)), BOOK)  # type: ignore[arg-type]
    (line,) = [line for line in lines if line.what == "interface endpoints"]
    assert line.per_hour == pytest.approx(count * 0.01)
    template = Path(__file__).parents[2] / "cfn" / "parallelcluster-prerequisites.yaml"
    assert template.read_text(encoding="utf-8").count("VpcEndpointType: Interface") == 5


def test_a_database_costs_its_least_capacity_and_says_what_comes_on_top() -> None:
    clusters = {name: Cluster(accounting=Accounting(managed=True)) for name in ("a", "b")}
    prerequisites = Prerequisites(database=Database(min_capacity=1.5))
    lines = costs.cost_of(Project(clusters=clusters, prerequisites=prerequisites), BOOK)
    (one,) = [line for line in lines if line.what == "accounting database"]
    assert one.per_hour == pytest.approx(1.5 * 0.12)
    assert "reads, writes and snapshots come on top" in one.note
    elsewhere = Project(region="eu-west-1", clusters=clusters)
    (unknown,) = [line for line in costs.cost_of(elsewhere, BOOK) if line.what == "accounting database"]
    assert (unknown.per_hour, costs.UNKNOWN in unknown.note) == (None, True)
    assert not [line for line in costs.cost_of(Project(), BOOK) if "accounting" in line.what]


def test_a_plan_costs_what_it_makes() -> None:
    def action(name: str, kind: Kind) -> Action:
        return Action(name, kind, name, "", stages.ReadAccount())

    making = Plan((action("prerequisites/stack", Kind.CREATE), action("bucket/policy", Kind.UPDATE)))
    assert {line.part for line in costs.of_plan(making, Project(), BOOK)} == {"prerequisites"}
    assert costs.of_plan(Plan((action("bucket/policy", Kind.UPDATE),)), Project(), BOOK) == []


def product(usd: str, unit: str = "Hrs", usage: str = "") -> str:
    dimension = {"unit": unit, "pricePerUnit": {"USD": usd}}
    attributes = {"attributes": {"usagetype": usage}} if usage else {}
    return json.dumps({"product": attributes, "terms": {"OnDemand": {"x": {"priceDimensions": {"y": dimension}}}}})


def answering(answer: Callable[[dict[str, Any]], Any]) -> FakeCloud:
    return FakeCloud({"GetProducts": answer})


def test_the_price_list_api_goes_before_the_table() -> None:
    asked: list[dict[str, str]] = []

    def answer(parameters: dict[str, Any]) -> dict[str, Any]:
        asked.append({f["Field"]: f["Value"] for f in parameters["Filters"]})
        return {"PriceList": [product("44.5"), product("0.0")]}

    book, why = prices.refreshed(BOOK, answering(answer), "us-east-1", ["ec2/p5.48xlarge", "ec2/p5.48xlarge"], TODAY)
    assert (why, len(asked)) == ("", 1)
    assert asked[0]["instanceType"] == "p5.48xlarge"
    assert asked[0]["regionCode"] == "us-east-1"
    found = book.find("us-east-1", "ec2/p5.48xlarge")
    assert found == Price("us-east-1", "ec2/p5.48xlarge", "hour", 44.5, prices.LIVE, TODAY)
    assert book.find("us-east-1", "nat-gateway") == BOOK.find("us-east-1", "nat-gateway")


def test_in_another_region_the_api_says_what_it_can_and_the_rest_stays_open() -> None:
    """Regional NAT gateways are another product; two prices for one item are none."""

    def answer(parameters: dict[str, Any]) -> dict[str, Any]:
        fields = {f["Field"]: f["Value"] for f in parameters["Filters"]}
        assert fields["regionCode"] == "eu-north-1"
        if fields.get("productFamily") == "NAT Gateway":
            rows = [("0.046", "Hrs", "EUN1-NatGateway-Hours"), ("0.09", "Hrs", "EUN1-RegionalNatGateway-Hours"),
                    ("0.047", "GB", "EUN1-NatGateway-Bytes")]  # fmt: skip
            return {"PriceList": [product(*row) for row in rows]}
        if fields.get("fileSystemType") == "Lustre":
            assert fields["throughputCapacity"] == "250"
            return {"PriceList": [product("0.22", "GB-Mo", "EUN1-Storage")]}
        if parameters["ServiceCode"] == "AmazonVPC":
            rows = [("0.005", "Hrs", "EUN1-PublicIPv4:InUseAddress"), ("0.01", "Hrs", "EUN1-PublicIPv4:IdleAddress")]
            return {"PriceList": [product(*row) for row in rows]}
        return {"PriceList": [product("1"), product("2")]}

    project = Project(region="eu-north-1")
    book, why = prices.refreshed(BOOK, answering(answer), "eu-north-1", costs.items_of(project), TODAY)
    assert why == ""
    lines = {line.what: line for line in cost_of(project, book)}
    assert lines["NAT gateway"].per_hour == 0.046
    assert lines["public IPv4 address"].per_hour == 0.005
    assert lines["traffic through the NAT gateway"].note == "depends on use: 0.047 per GB"
    assert lines["FSx for Lustre"].per_month == pytest.approx(1200 * 0.22)
    assert {line.what for line in costs.unknown(lines.values())} >= {"FSx for OpenZFS", "head node", "queue gpu"}


def test_every_item_of_a_project_has_the_unit_that_its_table_has() -> None:
    for item in costs.items_of(Project()):
        product_, _ = prices.product_of(item)
        known = BOOK.find("us-east-1", item)
        assert known is not None, item
        assert product_ is None or prices.UNITS[product_.unit] == known.unit, item


@pytest.mark.parametrize(
    "answer",
    [[], [product("0")], [product("1"), product("2")], [json.dumps({})], [product("5", "Quantity")]],
)
def test_an_answer_that_is_no_single_price_changes_nothing(answer: list[str]) -> None:
    cloud = answering(lambda _: {"PriceList": answer})
    assert prices.refreshed(BOOK, cloud, "us-east-1", ["ec2/p5.48xlarge"], TODAY) == (BOOK, "")


def test_where_the_api_may_not_be_asked_the_table_holds() -> None:
    def refuse(_: object) -> NoReturn:
        raise AccessDenied("not authorized", where="pricing:GetProducts")

    assert prices.refreshed(BOOK, answering(refuse), "us-east-1", ["ec2/p5.48xlarge"], TODAY) == (
        BOOK,
        "not authorized",
    )


def test_what_was_fetched_is_read_again_and_rubbish_is_left_out() -> None:
    kept = [Price("eu-north-1", "ec2/hpc7a.96xlarge", "hour", 7.2, prices.LIVE, TODAY)]
    text = prices.as_lines(kept)
    rubbish = (
        '\nnothing\n[]\n{"region": "x"}\n{"region":"r","item":"i","unit":"hour","usd":"x","source":"","date":""}\n'
    )
    assert prices.from_lines(rubbish + text) == kept
    assert Book({}).plus(kept).find("eu-north-1", "ec2/hpc7a.96xlarge") == kept[0]


def test_the_command_says_each_part_the_sum_and_the_date(tmp_path: Path) -> None:
    def pcinfra(*arguments: str) -> str:
        command = [sys.executable, "-m", "pcinfra.cli.main", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    pcinfra("init", "--yes")
    found = json.loads(pcinfra("cost", "--offline", "--output", "json"))
    assert found["per_hour"] == pytest.approx(costs.total(cost_of(Project(), BOOK)))
    assert found["prices_of"]
    table = pcinfra("cost", "--offline")
    assert "FSx for Lustre" in table
    assert f"{found['per_hour']:,.2f} per hour" in table
    assert found["prices_of"] in table
    assert not (tmp_path / ".pcinfra" / "prices.jsonl").exists()

"""What AWS charges for what pcinfra makes: a dated price book, and the costs of a project by it.

The bundled book is ``prices.csv``, whose rows name their source and its date. It can be brought up to date from the
AWS Price List API (:func:`refreshed`). A price that is in neither is not known, and is never guessed.

Amounts are USD at list price, without tax, discounts, credits, requests and data transfer.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcinfra.errors import CloudError, NotFound

if TYPE_CHECKING:
    from pcinfra.aws import Cloud

MONTH = 730
"""Hours of a month, as AWS's pricing pages and calculator count them."""

LIVE = "AWS Price List API"
API_REGION = "us-east-1"
"""The Price List API answers for every region, in us-east-1, eu-central-1 and ap-south-1 only (its user guide)."""

_DATA = Path(__file__).with_name("prices.csv")
_SOURCE = "#: "


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one ``unit`` of an item: ``hour``, ``GB``, ``GB-month`` or ``MBps-month``.

    Args:
        item: for example ``ec2/p5.48xlarge``, ``nat-gateway``, ``lustre/PERSISTENT_2/250``.
        source: where it was read.
        date: when, as ``2026-02-09``.
    """

    region: str
    item: str
    unit: str
    usd: float
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class Book:
    """Prices by region and item."""

    prices: Mapping[tuple[str, str], Price]

    def find(self, region: str, item: str) -> Price | None:
        """Return the price of ``item``, or None when it is not known."""
        return self.prices.get((region, item))

    def plus(self, prices: Iterable[Price]) -> Book:
        """Return this book with ``prices`` in place of its own."""
        return Book({**self.prices, **{(price.region, price.item): price for price in prices}})


def bundled() -> Book:
    """Return the book that ships with pcinfra."""
    lines = _DATA.read_text(encoding="utf-8").splitlines()
    sources = dict(_sources(lines))
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    prices = (
        Price(row["region"], row["item"], row["unit"], float(row["usd"]), *sources[row["source"]]) for row in rows
    )
    return Book({}).plus(prices)


def _sources(lines: Iterable[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the name, and the address and date, of each source that the head of the file lists."""
    for line in lines:
        if line.startswith(_SOURCE):
            name, date, address = line.removeprefix(_SOURCE).split(",", 2)
            yield name, (address, date)


@dataclass(frozen=True, slots=True)
class Product:
    """How the Price List API names an item.

    Args:
        fields: attributes that it must have; ``{}`` is what follows the item's first slash.
        usage: its usage type without the region's prefix (``USE1-``); empty for any.
        unit: what the API calls the unit of its price.
    """

    service: str
    fields: Mapping[str, str]
    usage: str = ""
    unit: str = "Hrs"


UNITS = {"Hrs": "hour", "GB": "GB", "GB-Mo": "GB-month"}
_NAT = {"productFamily": "NAT Gateway"}
_LUSTRE = {
    "productFamily": "Storage",
    "fileSystemType": "Lustre",
    "deploymentOption": "Persistent",
    "storageType": "SSD",
}

# Source: AWS Price List user guide, "Finding services and products"; attributes of the EC2 offer file; attributes of
# FSx for Lustre as cycloidio/terracost asks for them, of NAT gateways, endpoints and addresses as their usage types
# stand in AWS's bills.
PRODUCTS = {
    "ec2": Product(
        "AmazonEC2",
        {
            "instanceType": "{}", "operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA",
            "capacitystatus": "Used", "marketoption": "OnDemand",
        },
    ),
    "nat-gateway": Product("AmazonEC2", _NAT, "NatGateway-Hours"),
    "nat-gateway-data": Product("AmazonEC2", _NAT, "NatGateway-Bytes", "GB"),
    "interface-endpoint": Product("AmazonVPC", {"productFamily": "VpcEndpoint"}, "VpcEndpoint-Hours"),
    "public-ipv4": Product("AmazonVPC", {}, "PublicIPv4:InUseAddress"),
    "ebs": Product("AmazonEC2", {"productFamily": "Storage", "volumeApiName": "{}"}, "EBS:VolumeUsage.gp3", "GB-Mo"),
    "lustre/PERSISTENT_1": Product("AmazonFSx", {**_LUSTRE, "throughputCapacity": "{}"}, unit="GB-Mo"),
    "lustre/PERSISTENT_2": Product("AmazonFSx", {**_LUSTRE, "throughputCapacity": "{}"}, unit="GB-Mo"),
}  # fmt: skip


def refreshed(book: Book, cloud: Cloud, region: str, items: Iterable[str], today: str) -> tuple[Book, str]:
    """Return ``book`` with the present prices of those of ``items`` that can be asked for.

    What the API has no single price for keeps the one that the book has, or none: nothing is guessed.

    Args:
        cloud: an account, in :data:`API_REGION`.
        today: the date of the new prices.

    Returns:
        The book, and an empty text, or the reason why some of its prices are those of before.
    """
    found: list[Price] = []
    for item in sorted(set(items)):
        product, value = product_of(item)
        if product is None:
            continue
        try:
            found.append(_asked(cloud, region, item, product, value, today))
        except CloudError as error:
            if not isinstance(error, NotFound):
                return book.plus(found), error.why
    return book.plus(found), ""


def product_of(item: str) -> tuple[Product | None, str]:
    """Return how to ask for ``item``, and what to put in; None where nobody has found out."""
    name, _, value = item.rpartition("/")
    found = PRODUCTS.get(name or item)
    return found, value if name else ""


def _asked(cloud: Cloud, region: str, item: str, product: Product, value: str, today: str) -> Price:
    """Return the on-demand price of an item.

    Raises:
        NotFound: there is none in ``region``, or more than one.
    """
    fields = {key: text.format(value) for key, text in product.fields.items()} | {"regionCode": region}
    filters = [{"Type": "TERM_MATCH", "Field": key, "Value": text} for key, text in fields.items()]
    answers = cloud.pages("pricing", "GetProducts", "PriceList", ServiceCode=product.service, Filters=filters)
    offers = (offer for offer in map(json.loads, answers) if _is_used_as(offer, product.usage))
    amounts = {amount for offer in offers for amount in _amounts(offer, product.unit) if amount > 0}
    if len(amounts) != 1:
        raise NotFound(f"{len(amounts)} on-demand prices", where=f"{item} in {region}")
    return Price(region, item, UNITS[product.unit], amounts.pop(), LIVE, today)


def _is_used_as(offer: Mapping[str, Any], usage: str) -> bool:
    said = str(offer.get("product", {}).get("attributes", {}).get("usagetype", ""))
    return not usage or said == usage or said.endswith(f"-{usage}")


def _amounts(offer: Mapping[str, Any], unit: str) -> Iterator[float]:
    for term in offer.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term.get("priceDimensions", {}).values():
            if dimension.get("unit") == unit:
                yield float(dimension.get("pricePerUnit", {}).get("USD", 0))


def as_lines(prices: Iterable[Price]) -> str:
    """Return ``prices`` as JSON lines, which :func:`from_lines` reads."""
    fields = ("region", "item", "unit", "usd", "source", "date")
    return "".join(json.dumps({name: getattr(price, name) for name in fields}) + "\n" for price in prices)


def from_lines(text: str) -> list[Price]:
    """Return the prices of :func:`as_lines`; a line that is none is left out."""
    return [price for price in map(_from_line, text.splitlines()) if price is not None]


def _from_line(line: str) -> Price | None:
    try:
        price = Price(**json.loads(line))
        price = replace(price, usd=float(price.usd))
    except (TypeError, ValueError, RecursionError):
        return None
    texts = (price.region, price.item, price.unit, price.source, price.date)
    return price if all(isinstance(text, str) for text in texts) and 0 < price.usd < math.inf else None

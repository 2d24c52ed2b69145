"""References to secrets, taken apart. No value of a secret ever comes here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

KUBERNETES = "k8s"


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret is.

    Args:
        service: ``secretsmanager``, ``ssm`` or ``k8s``.
        name: its name, or its ARN.
        key: of one value in it; empty: all of it.
        region: empty: that of whoever fetches it.
    """

    service: str
    name: str
    key: str = ""
    region: str = ""


def reference(text: str) -> Reference:
    """Return what a value of ``secrets`` in a job file, whose form has been checked, refers to."""
    address, _, key = text.partition("#")
    if address.startswith("arn:"):
        _, _, service, region, *_ = address.split(":")
        return Reference(service, address, key, region)
    service, _, name = address.partition(":")
    return Reference(service, name, key)


def of_kubernetes(secrets: Mapping[str, str]) -> dict[str, Reference]:
    """Return the Secrets of Kubernetes among ``secrets``, by variable."""
    return {name: found for name, text in secrets.items() if (found := reference(text)).service == KUBERNETES}


def of_aws(secrets: Mapping[str, str]) -> dict[str, Reference]:
    """Return the others, by variable."""
    return {name: found for name, text in secrets.items() if (found := reference(text)).service != KUBERNETES}

"""What is allowed, to what, for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PURPOSES = ("up", "cluster", "jobs", "data", "down", "doctor", "cost")
"""``up`` includes ``plan``, ``status``, ``env`` and ``image``."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One IAM action.

    Args:
        action: for example ``s3:ListBucket``.
        calls: the API operations of ours that it allows, as ``service.Operation`` in boto3's names.
        why: why it is needed although an ordinary run makes none of ``calls``.
    """

    action: str
    calls: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """Grants of one kind to one set of resources.

    Args:
        resources: ARNs with the names of :class:`Names` in braces.
        condition: in IAM's form, with the same names.
    """

    sid: str
    purposes: frozenset[str]
    grants: tuple[Grant, ...]
    resources: tuple[str, ...] = ("*",)
    condition: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Names:
    """What the ARNs are made of.

    Args:
        account: 12 digits, or ``*`` when it is not known.
        repositories: of the project's images; ``{repository}`` in a statement is each of them.
        key: ARN of the project's KMS key; empty when it has none, and then nothing is allowed with keys.
        suffix: of the services' addresses, as ``kms:ViaService`` has them.
    """

    partition: str
    region: str
    account: str
    project: str
    stack: str
    bucket: str
    repositories: tuple[str, ...]
    key: str = ""
    suffix: str = "amazonaws.com"


_PREFIXES = {"cloudwatch-logs": "logs", "service-quotas": "servicequotas", "secrets-manager": "secretsmanager"}


def called(service: str, *operations: str, why: str = "") -> tuple[Grant, ...]:
    """Return grants of actions that are named like the operations that they allow, as most are."""
    prefix = _PREFIXES.get(service, service)
    return tuple(Grant(f"{prefix}:{name}", (f"{service}.{name}",), why) for name in operations)


def beyond(why: str, *actions: str) -> tuple[Grant, ...]:
    """Return grants of actions that no call of ours is named after, and why they are needed."""
    return tuple(Grant(action, (), why) for action in actions)

"""The least-privilege policy that pcinfra itself needs, derived from the API calls that it makes.

What ``pcluster`` needs to make clusters comes on top: AWS publishes it for every version (docs/permissions.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pcinfra.iam_policy import grants, infrastructure
from pcinfra.iam_policy.grants import FREE
from pcinfra.iam_policy.model import PURPOSES, Grant, Names, Statement

if TYPE_CHECKING:
    from pcinfra.project import Project

__all__ = ["FREE", "PURPOSES", "STATEMENTS", "Grant", "Names", "Statement", "chosen", "names_of", "policies"]

STATEMENTS = (*infrastructure.STATEMENTS, *grants.STATEMENTS)

MAXIMUM = 6144
"""Characters of a managed policy, white space not counted (IAM user guide, IAM and STS quotas)."""

ANY_ACCOUNT = "*"


def chosen(purposes: Iterable[str]) -> list[Statement]:
    """Return the statements for some of :data:`PURPOSES`."""
    wanted = frozenset(purposes)
    return [statement for statement in STATEMENTS if statement.purposes & wanted]


def names_of(project: Project, account: str = ANY_ACCOUNT) -> Names:
    """Return what the ARNs of ``project`` are made of."""
    starts = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    partition = next((name for start, name in starts.items() if project.region.startswith(start)), "aws")
    return Names(
        partition=partition,
        region=project.region,
        account=account,
        project=project.project,
        stack=project.prerequisites.stack,
        bucket=project.bucket_name(account),
        repositories=tuple(image.repository for image in project.images.values()),
        key=project.kms_key or "",
        suffix="amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com",
    )


def policies(statements: Iterable[Statement], names: Names) -> list[dict[str, Any]]:
    """Return policy documents with ``statements``, each in the first that IAM's size leaves room in."""
    documents: list[dict[str, Any]] = []
    for rendered in (_rendered(statement, names) for statement in statements):
        if "" in rendered["Resource"]:
            continue
        for document in documents:
            if size(_document([*document["Statement"], rendered])) <= MAXIMUM:
                document["Statement"].append(rendered)
                break
        else:
            documents.append(_document([rendered]))
    return documents


def size(document: Mapping[str, Any]) -> int:
    """Return the characters of ``document`` as IAM counts them."""
    return len(re.sub(r"\s", "", json.dumps(document, separators=(",", ":"))))


def _document(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}


def _rendered(statement: Statement, names: Names) -> dict[str, Any]:
    words = asdict(names)
    each = [words | {"repository": name} for name in names.repositories]
    rendered = {
        "Sid": statement.sid,
        "Effect": "Allow",
        "Action": sorted({grant.action for grant in statement.grants}),
        "Resource": list(dict.fromkeys(arn.format(**one) for arn in statement.resources for one in each)),
    }
    return rendered | ({"Condition": _named(statement.condition, words)} if statement.condition else {})


def _named(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**words)
    if isinstance(value, list):
        return [_named(item, words) for item in value]
    return {key: _named(item, words) for key, item in value.items()}

"""The policy of the nodes as IAM has it: CloudFormation does not notice when somebody edits or deletes it by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.engine import Action, Change, Kind
from pcinfra.errors import AccessDenied, Conflict, NotFound
from pcinfra.stacks.grants import Known, statements

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.cloudformation import Stack
    from pcinfra.doors import Doors

POLICY = "prerequisites/policy"
LOGICAL_ID = "NodePolicy"
_VERSIONS = 5
"""Versions of one policy at most (IAM user guide, "Versioning IAM policies")."""

Statements = Mapping[str, Mapping[str, Any]]
"""Statements by their Sid, in one form of the several that say the same."""


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """The policy that the stack made. Empty ``arn``: there is none, or we may not look at it.

    Args:
        found: what it says; ``wanted`` is what it was made to say.
        gone: somebody deleted it.
    """

    arn: str = ""
    found: Statements | None = None
    wanted: Statements | None = None
    gone: bool = False

    @property
    def changes(self) -> tuple[Change, ...]:
        """What was changed by hand, by statement."""
        if self.found is None or self.wanted is None:
            return ()
        names = (*self.wanted, *(name for name in self.found if name not in self.wanted))
        rows = ((name, self.found.get(name), self.wanted.get(name)) for name in names)
        return tuple(Change(name, _text(found), _text(wanted)) for name, found, wanted in rows if found != wanted)

    def difference(self) -> str:
        """Return what was changed by hand, in words; empty when nothing was."""
        return "; ".join(f"{_how(change)} {change.key}" for change in self.changes)


def _how(change: Change) -> str:
    if change.before is None:
        return "lacks"
    return "added by hand:" if change.after is None else "changed by hand:"


def _text(statement: Mapping[str, Any] | None) -> str | None:
    return None if statement is None else json.dumps(statement, sort_keys=True)


def read(cloud: Cloud, stack: Stack, arn: str, region: str) -> PolicyFacts:
    """Return the policy ``arn`` of the stack: two calls; none where it is empty."""
    if not arn:
        return PolicyFacts()
    try:
        version = cloud.call("iam", "GetPolicy", PolicyArn=arn)["Policy"]["DefaultVersionId"]
        answer = cloud.call("iam", "GetPolicyVersion", PolicyArn=arn, VersionId=version)
    except NotFound:
        return PolicyFacts(arn, gone=True)
    except AccessDenied:
        return PolicyFacts()
    found = answer["PolicyVersion"]["Document"]["Statement"]
    return PolicyFacts(arn, _by_sid(found if isinstance(found, list) else [found]), _by_sid(_made(stack, arn, region)))


def _made(stack: Stack, arn: str, region: str) -> list[dict[str, Any]]:
    _, partition, _, _, account, _ = arn.split(":", 5)
    suffix = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    pseudo = {"Partition": partition, "AccountId": account, "Region": region, "URLSuffix": suffix}
    return statements(Known(stack.parameters, pseudo))


def _by_sid(rows: Iterable[Mapping[str, Any]]) -> Statements:
    return {str(row.get("Sid") or f"a statement without Sid ({n})"): _plain(row) for n, row in enumerate(rows, 1)}


def _plain(value: Any) -> Any:
    """Return what a policy says in one form: a list of one is the one, and the order of a list says nothing."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items() if key != "Sid"}
    if isinstance(value, list):
        return _plain(value[0]) if len(value) == 1 else sorted(map(_plain, value))
    return value


def mending(found: PolicyFacts) -> tuple[Action, ...]:
    """Return the Action that lets the policy say again what it was made to say; none where it does."""
    if not found.changes or found.wanted is None:
        return ()
    rows = [{"Sid": name, **statement} for name, statement in found.wanted.items()]
    document = json.dumps({"Version": "2012-10-17", "Statement": rows})
    operation = MendPolicy(found.arn, document)
    what = f"policy of the nodes {found.arn.rpartition('/')[2]}"
    return (Action(POLICY, Kind.UPDATE, what, "was changed by hand", operation, changes=found.changes),)


@dataclass(frozen=True, slots=True)
class MendPolicy:
    """Make a version of the policy the one that counts; the oldest goes where there is no room for another."""

    arn: str
    document: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        versions = list(doors.cloud.pages("iam", "ListPolicyVersions", "Versions", PolicyArn=self.arn))
        if len(versions) >= _VERSIONS:
            oldest = min((v for v in versions if not v["IsDefaultVersion"]), key=lambda v: v["CreateDate"])
            with suppress(NotFound, Conflict):  # another run has just done it
                doors.cloud.call("iam", "DeletePolicyVersion", PolicyArn=self.arn, VersionId=oldest["VersionId"])
        doors.cloud.call(
            "iam", "CreatePolicyVersion", PolicyArn=self.arn, PolicyDocument=self.document, SetAsDefault=True
        )

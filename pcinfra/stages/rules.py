"""The rules of the EFA security group: CloudFormation does not notice when somebody changes them by hand.

Source: EC2 user guide, "Get started with EFA and MPI": an EFA needs a group that allows all traffic to and from itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pcinfra.engine import Action, Change, Kind
from pcinfra.errors import Conflict, NotFound

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors

RULES = "prerequisites/rules"
ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One rule: whom the group lets in, or whom it lets out to, and for which protocol and ports.

    Args:
        way: ``in`` or ``out``.
        peer: a security group, an address range or a prefix list.
        id: EC2's, where it is known; it is no part of what the rule says.
    """

    way: str
    peer: str
    traffic: str = "all"
    id: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.way} {self.traffic} {'from' if self.way == 'in' else 'to'} {self.peer}"


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """The rules of the group that the stack made; empty ``group``: there is none, or it is adopted."""

    group: str = ""
    rules: tuple[Rule, ...] = ()

    @property
    def wanted(self) -> tuple[Rule, ...]:
        """Everything within the group, both ways, and everything out: pcinfra/stacks/network.py."""
        return Rule("in", self.group), Rule("out", self.group), Rule("out", ANYWHERE)

    @property
    def lacks(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.wanted if rule not in self.rules) if self.group else ()

    @property
    def added(self) -> tuple[Rule, ...]:
        """Rules that somebody added by hand."""
        return tuple(sorted(rule for rule in self.rules if rule not in self.wanted)) if self.group else ()

    def difference(self) -> str:
        """Return what is missing and what was added, in words; empty when nothing is."""
        return "; ".join(
            [*(f"lacks: {rule}" for rule in self.lacks), *(f"added by hand: {rule}" for rule in self.added)]
        )


def read(cloud: Cloud, group: str) -> RuleFacts:
    """Return the rules of ``group``; none where it is empty."""
    if not group:
        return RuleFacts()
    filters = [{"Name": "group-id", "Values": [group]}]
    rows = cloud.pages("ec2", "DescribeSecurityGroupRules", "SecurityGroupRules", Filters=filters)
    return RuleFacts(group, tuple(sorted(map(_rule, rows))))


def _rule(row: Mapping[str, Any]) -> Rule:
    peer = (row.get("ReferencedGroupInfo") or {}).get("GroupId") or row.get("CidrIpv4") or row.get("CidrIpv6")
    protocol, first, last = str(row["IpProtocol"]), row.get("FromPort", -1), row.get("ToPort", -1)
    ports = f" {first}" if first == last else f" {first}-{last}"
    traffic = "all" if protocol == "-1" else protocol + (ports if first not in (None, -1) else "")
    way = "out" if row["IsEgress"] else "in"
    return Rule(way, str(peer or row.get("PrefixListId") or "?"), traffic, row["SecurityGroupRuleId"])


def mending(found: RuleFacts, after: Iterable[str] = ()) -> tuple[Action, ...]:
    """Return the Action that brings the rules back to what they were made as; none where they are."""
    if not found.lacks and not found.added:
        return ()
    changes = (
        *(Change(str(rule), "added by hand", None) for rule in found.added),
        *(Change(str(rule), None, "as it was made") for rule in found.lacks),
    )
    operation = MendRules(found.group, found.lacks, found.added)
    what = f"rules of security group {found.group}"
    return (Action(RULES, Kind.UPDATE, what, "were changed by hand", operation, frozenset(after), changes=changes),)


@dataclass(frozen=True, slots=True)
class MendRules:
    """Put back what is missing, then take away what was added, so that nothing is cut off in between."""

    group: str
    lacks: tuple[Rule, ...]
    added: tuple[Rule, ...]

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        for rule in self.lacks:
            operation = f"AuthorizeSecurityGroup{_SIDE[rule.way]}"
            with suppress(Conflict):  # another run has just done it
                doors.cloud.call("ec2", operation, GroupId=self.group, IpPermissions=[_permission(rule)])
        for rule in self.added:
            operation = f"RevokeSecurityGroup{_SIDE[rule.way]}"
            with suppress(NotFound):
                doors.cloud.call("ec2", operation, GroupId=self.group, SecurityGroupRuleIds=[rule.id])


_SIDE = {"in": "Ingress", "out": "Egress"}


def _permission(rule: Rule) -> dict[str, Any]:
    """Return one of the wanted rules as the EC2 API takes it; all of them are for every protocol."""
    if rule.peer == ANYWHERE:
        return {"IpProtocol": "-1", "IpRanges": [{"CidrIp": rule.peer}]}
    return {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": rule.peer}]}

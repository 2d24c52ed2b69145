"""The rules of the stack's security groups: CloudFormation does not notice when somebody changes them by hand.

Sources: EC2 user guide, "Get started with EFA and MPI": an EFA needs a group that allows all traffic to and from
itself; ``pcinfra/stacks/network.py`` and ``database.py``, which make the groups.
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
NOBODY = "255.255.255.255/32"
"""The peer of the rule that stands for no rule outwards; the protocol and ports beside it say nothing."""

EFA, CLIENTS, SERVER = "SecurityGroup", "DatabaseClientGroup", "DatabaseServerGroup"
"""Outputs of the stack with the ids of its groups."""

_WORDS = {EFA: "security group", CLIENTS: "security group of the database's clients",
          SERVER: "security group of the accounting database"}  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One rule: whom the group lets in, or whom it lets out to, and for which protocol and ports.

    Args:
        way: ``in`` or ``out``.
        peer: a security group, an address range or a prefix list.
        protocol: -1 is all of them, and then there are no ports: ``first`` and ``last`` are -1.
        id: EC2's, where it is known; it is no part of what the rule says.
    """

    way: str
    peer: str
    protocol: str = "-1"
    first: int = -1
    last: int = -1
    id: str = field(default="", compare=False)

    def __str__(self) -> str:
        ports = f" {self.first}" if self.first == self.last else f" {self.first}-{self.last}"
        traffic = "all" if self.protocol == "-1" else self.protocol + (ports if self.first != -1 else "")
        return f"{self.way} {traffic} {'from' if self.way == 'in' else 'to'} {self.peer}"

    def permission(self) -> dict[str, Any]:
        """Return it as the EC2 API takes it."""
        ports = {} if self.protocol == "-1" else {"FromPort": self.first, "ToPort": self.last}
        if self.peer.startswith("sg-"):
            return {"IpProtocol": self.protocol, **ports, "UserIdGroupPairs": [{"GroupId": self.peer}]}
        return {"IpProtocol": self.protocol, **ports, "IpRanges": [{"CidrIp": self.peer}]}


@dataclass(frozen=True, slots=True)
class Group:
    """A security group of the stack: the output that has its id, the rules it was made with, and those it has."""

    output: str
    id: str
    wanted: tuple[Rule, ...]
    rules: tuple[Rule, ...]

    @property
    def lacks(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.wanted if rule not in self.rules)

    @property
    def added(self) -> tuple[Rule, ...]:
        """Rules that somebody added by hand."""
        return tuple(sorted(rule for rule in self.rules if rule not in self.wanted))

    def difference(self) -> str:
        """Return what is missing and what was added, in words; empty when nothing is."""
        return "; ".join(
            [*(f"lacks: {rule}" for rule in self.lacks), *(f"added by hand: {rule}" for rule in self.added)]
        )


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """The groups that the stack made; one that is adopted is its owner's, and not among them."""

    groups: tuple[Group, ...] = ()

    def difference(self, *outputs: str) -> str:
        """Return what is not as it was made in the groups of these outputs, in words; empty when all is."""
        return "; ".join(filter(None, (group.difference() for group in self.groups if group.output in outputs)))


def read(cloud: Cloud, groups: Mapping[str, str]) -> RuleFacts:
    """Return the rules of some groups, in one call; none where there are no groups.

    Args:
        groups: the outputs of the stack that have the ids of groups which it made.
    """
    if not groups:
        return RuleFacts()
    filters = [{"Name": "group-id", "Values": sorted(groups.values())}]
    rows = list(cloud.pages("ec2", "DescribeSecurityGroupRules", "SecurityGroupRules", Filters=filters))
    return RuleFacts(
        tuple(
            Group(output, id_, _wanted(output, groups), tuple(sorted(_rule(r) for r in rows if r["GroupId"] == id_)))
            for output, id_ in groups.items()
        )
    )


def _wanted(output: str, groups: Mapping[str, str]) -> tuple[Rule, ...]:
    """EFA: everything within the group, both ways, and everything out. Clients reach the database, and it nobody."""
    if output == EFA:
        return Rule("in", groups[EFA]), Rule("out", groups[EFA]), Rule("out", ANYWHERE)
    if output == CLIENTS:
        return (Rule("out", ANYWHERE),)
    return Rule("in", groups[CLIENTS], "tcp", 3306, 3306), Rule("out", NOBODY, "icmp", 252, 86)


def _rule(row: Mapping[str, Any]) -> Rule:
    peer = (row.get("ReferencedGroupInfo") or {}).get("GroupId") or row.get("CidrIpv4") or row.get("CidrIpv6")
    protocol, way = str(row["IpProtocol"]), "out" if row["IsEgress"] else "in"
    first, last = row.get("FromPort"), row.get("ToPort")
    ports = (-1, -1) if protocol == "-1" or first is None or last is None else (int(first), int(last))
    if peer == NOBODY:
        protocol, ports = "icmp", (252, 86)
    return Rule(way, str(peer or row.get("PrefixListId") or "?"), protocol, *ports, row["SecurityGroupRuleId"])


def mending(found: RuleFacts, after: Iterable[str] = ()) -> tuple[Action, ...]:
    """Return the Actions that bring the rules back to what they were made as; none where they are."""
    return tuple(_mend(group, frozenset(after)) for group in found.groups if group.lacks or group.added)


def _mend(group: Group, after: frozenset[str]) -> Action:
    changes = (
        *(Change(str(rule), "added by hand", None) for rule in group.added),
        *(Change(str(rule), None, "as it was made") for rule in group.lacks),
    )
    name = RULES if group.output == EFA else f"{RULES}-{group.output}"
    what = f"rules of {_WORDS[group.output]} {group.id}"
    operation = MendRules(group.id, group.lacks, group.added)
    return Action(name, Kind.UPDATE, what, "were changed by hand", operation, after, changes=changes)


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
                doors.cloud.call("ec2", operation, GroupId=self.group, IpPermissions=[rule.permission()])
        for rule in self.added:
            operation = f"RevokeSecurityGroup{_SIDE[rule.way]}"
            with suppress(NotFound):
                doors.cloud.call("ec2", operation, GroupId=self.group, SecurityGroupRuleIds=[rule.id])


_SIDE = {"in": "Ingress", "out": "Egress"}

"""What only ``pcinfra status`` looks at: changes made by hand that neither CloudFormation nor `up` would notice.

`up` does not ask for it, to stay within few calls; the detail of the row says how to mend what is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pcinfra.errors import CloudError, NotFound

if TYPE_CHECKING:
    from pcinfra.doors import Doors
    from pcinfra.stages.prerequisites import StackFacts

_PREREQUISITES = "read/prerequisites"


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One rule of a security group: whom it lets in, or whom it lets out to, and for which protocol and ports."""

    way: str  # "in" or "out"
    peer: str  # a security group, an address range or a prefix list
    traffic: str = "all"

    def __str__(self) -> str:
        return f"{self.way} {self.traffic} {'from' if self.way == 'in' else 'to'} {self.peer}"


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """The rules of the EFA security group; empty ``group``: there is none."""

    group: str = ""
    rules: frozenset[Rule] = frozenset()

    @property
    def wanted(self) -> frozenset[Rule]:
        """Everything within the group, both ways, and everything out: pcinfra/stacks/network.py.

        Source: EC2 user guide, "Get started with EFA and MPI": an EFA needs a group that allows all traffic to and
        from itself.
        """
        return frozenset({Rule("in", self.group), Rule("out", self.group), Rule("out", "0.0.0.0/0")})

    def difference(self) -> str:
        """Return what is missing and what was added, in words; empty when nothing is."""
        if not self.group:
            return ""
        lacks = [f"lacks: {rule}" for rule in sorted(self.wanted - self.rules)]
        added = [f"added by hand: {rule}" for rule in sorted(self.rules - self.wanted)]
        return "; ".join(lacks + added)

    def remedy(self) -> str:
        """Return where to mend it: up does not touch rules, since CloudFormation does not see them."""
        return f"aws ec2 describe-security-group-rules --filters Name=group-id,Values={self.group}"


@dataclass(frozen=True, slots=True)
class RepositoryPolicyFacts:
    """The policies of the images' repositories by name, as text; pcinfra sets none."""

    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadRules:
    """Read the rules of the stack's security group. The result is :class:`RuleFacts`."""

    def start(self, doors: Doors, results: Mapping[str, Any]) -> RuleFacts:
        stack: StackFacts = results[_PREREQUISITES]
        group = stack.outputs.get("SecurityGroup", "")
        adopted = stack.stack.parameters.get("ExistingSecurityGroup") if stack.stack else ""
        if not group or adopted:  # the rules of a group that is adopted are its owner's
            return RuleFacts()
        filters = [{"Name": "group-id", "Values": [group]}]
        rows = doors.cloud.pages("ec2", "DescribeSecurityGroupRules", "SecurityGroupRules", Filters=filters)
        return RuleFacts(group, frozenset(map(_rule, rows)))


def _rule(row: Mapping[str, Any]) -> Rule:
    peer = (row.get("ReferencedGroupInfo") or {}).get("GroupId") or row.get("CidrIpv4") or row.get("CidrIpv6")
    protocol, first, last = str(row["IpProtocol"]), row.get("FromPort", -1), row.get("ToPort", -1)
    ports = f" {first}" if first == last else f" {first}-{last}"
    traffic = "all" if protocol == "-1" else protocol + (ports if first not in (None, -1) else "")
    return Rule("out" if row["IsEgress"] else "in", str(peer or row.get("PrefixListId") or "?"), traffic)


@dataclass(frozen=True, slots=True)
class ReadRepositoryPolicy:
    """Read the policies of some repositories. The result is :class:`RepositoryPolicyFacts`."""

    repositories: tuple[str, ...]

    def start(self, doors: Doors, results: Mapping[str, Any]) -> RepositoryPolicyFacts:
        return RepositoryPolicyFacts({name: _policy_of(doors, name) for name in self.repositories})


def _policy_of(doors: Doors, repository: str) -> str:
    try:
        return str(doors.cloud.call("ecr", "GetRepositoryPolicy", repositoryName=repository)["policyText"])
    except NotFound:
        return ""
    except CloudError as error:
        if error.code == "RepositoryPolicyNotFoundException":
            return ""
        raise

"""``pcinfra status``: what it shows, and what only it notices."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pcinfra import ui
from pcinfra.aws import Target
from pcinfra.cli.status import FIELDS, again, status
from pcinfra.cli.up import plan
from pcinfra.errors import Unreachable
from pcinfra.stages.prerequisites import StackFacts
from pcinfra.stages.rules import RULES
from tests.account import Account
from tests.commands import run
from tests.conftest import new_project


@pytest.fixture(scope="module")
def standing(local_target: Target) -> Account:
    account = Account(local_target, new_project())
    account.up()
    return account


def rows(account: Account) -> dict[str, dict[str, str]]:
    """Return status's rows by what they are about."""
    return {row["what"]: row for row in json.loads(run(status, account, "--output", "json")[1])}


def test_everything_is_ok_and_has_its_fields(standing: Account) -> None:
    found = rows(standing)
    assert all(list(row) == list(FIELDS) for row in found.values())
    assert {row["health"] for row in found.values()} == {"ok"}
    dated = [what for what, row in found.items() if row["since"]]
    assert {"FSx for Lustre", "FSx for OpenZFS", f"stack {standing.project.prerequisites.stack}"} <= set(dated)
    assert all(datetime.fromisoformat(found[what]["since"]).tzinfo for what in dated)
    table = run(status, standing)[1]
    assert "AGE" in table
    costing = {what for what, row in found.items() if row["cost"]}
    assert costing == {"FSx for Lustre", "FSx for OpenZFS", f"stack {standing.project.prerequisites.stack}"}
    assert "USD so far, by prices of 2026-" in table
    assert "an estimate: the age of each thing at list price" in table
    assert all(what in table for what in found)


def test_where_nothing_is_everything_is_absent(account: Account) -> None:
    assert {row["health"] for row in rows(account).values()} == {"absent"}


def test_a_rule_taken_from_or_added_to_the_security_group_is_noticed_and_mended(standing: Account) -> None:
    group = standing.facts().of(StackFacts).outputs["SecurityGroup"]
    open_to_all: list[dict[str, Any]] = [
        {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ]
    rules = standing.cloud.pages("ec2", "DescribeSecurityGroupRules", "SecurityGroupRules",
                                 Filters=[{"Name": "group-id", "Values": [group]}])  # fmt: skip
    inward = [rule["SecurityGroupRuleId"] for rule in rules if not rule["IsEgress"]]
    standing.call("ec2", "RevokeSecurityGroupIngress", GroupId=group, SecurityGroupRuleIds=inward)
    standing.call("ec2", "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=open_to_all)
    row = rows(standing)["security group"]
    assert row["health"] == "differs"
    assert f"lacks: in all from {group}" in row["detail"]
    assert "added by hand: in tcp 22 from 0.0.0.0/0" in row["detail"]
    shown = run(plan, standing)[1]
    assert "rules of security group" in shown
    assert "in tcp 22 from 0.0.0.0/0: added by hand → (none)" in shown
    assert f"in all from {group}: as it was made" in shown
    standing.run(standing.plan())
    assert rows(standing)["security group"]["health"] == "ok"
    assert standing.plan().actions == ()


def test_rules_that_are_mended_twice_at_once_are_mended(standing: Account) -> None:
    """What two runs do that planned before either acted."""
    group = standing.facts().of(StackFacts).outputs["SecurityGroup"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    v6 = [{"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]
    standing.call("ec2", "RevokeSecurityGroupEgress", GroupId=group, IpPermissions=everything)
    standing.call("ec2", "AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=v6)
    planned = standing.plan()
    assert [action.id for action in planned.actions] == [RULES]
    standing.run(planned)
    standing.run(planned)
    assert standing.plan().actions == ()


def test_a_policy_added_to_the_repository_is_noticed(standing: Account) -> None:
    name = standing.project.images["pytorch"].repository
    statement = {"Sid": "x", "Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    standing.call("ecr", "SetRepositoryPolicy", repositoryName=name, policyText=text)
    assert rows(standing)[f"repository {name}"]["health"] == "differs"
    standing.call("ecr", "DeleteRepositoryPolicy", repositoryName=name)
    assert rows(standing)[f"repository {name}"]["health"] == "ok"


def test_a_statement_added_to_the_buckets_policy_is_told(standing: Account) -> None:
    name = standing.project.bucket.name
    policy = json.loads(standing.call("s3", "GetBucketPolicy", Bucket=name)["Policy"])
    more = {"Sid": "Mine", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{name}/x"}  # fmt: skip
    policy["Statement"].append(more)
    standing.call("s3", "PutBucketPolicy", Bucket=name, Policy=json.dumps(policy))
    assert "1 more statement(s)" in rows(standing)[f"bucket {name}"]["detail"]


def test_watching_goes_on_without_an_answer_and_ends_with_ctrl_c() -> None:
    looks: list[int] = []
    slept: list[float] = []

    def show() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise Unreachable("throttled")

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    again(show, 7, sleep)
    assert (len(looks), slept) == (2, [7, 7, 7])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (90, "90 s"), (3600, "60 min"), (3 * 3600, "3 h"), (9 * 86400, "9 d")]
)
def test_an_age_is_told_in_one_unit(seconds: int, text: str) -> None:
    assert ui.age((datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()) == text
    assert ui.age("") == ""

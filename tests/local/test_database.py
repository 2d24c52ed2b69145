"""The accounting database and the policy of the nodes: made by the stack, used by the real pcluster, and taken away."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from pcinfra import stages
from pcinfra.aws import Target
from pcinfra.clusters.facts import find, find_all
from pcinfra.clusters.inputs import ClusterInputs, inputs_from_outputs
from pcinfra.clusters.lifecycle import create_plan, delete_actions
from pcinfra.clusters.pcluster import Pcluster
from pcinfra.clusters.render import render
from pcinfra.engine import Kind, Plan
from pcinfra.jobs.headnode import SsmHeadNode, head_node_id
from pcinfra.localcloud.slurm import accounting
from pcinfra.project import Accounting, Cluster, Nodes, Project
from pcinfra.stages import Health, Resource
from pcinfra.stages.prerequisites import StackFacts
from pcinfra.stages.recovery import STACK
from pcinfra.stages.stack_operations import CHANGES
from pcinfra.stages.sweep import SNAPSHOT
from tests.account import Account
from tests.conftest import new_project

pytestmark = pytest.mark.slow

SECRET = "secretsmanager:hugging-face"


def project() -> Project:
    """Return a project with a small cluster that keeps its history in the project's database."""
    made = new_project(nodes=Nodes(secrets=(SECRET,)))
    name = f"c{made.project[2:]}"
    small = Cluster(shape="minimal", accounting=Accounting(managed=True), queues=Cluster(shape="minimal").queues)
    return made.model_copy(update={"clusters": {name: small}})


@pytest.fixture(scope="module")
def account(local_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account in which what a cluster needs stands; gone afterwards."""
    account = Account(local_target, project())
    make(account)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # pcluster keeps its log there
        yield account
    account.run(Plan(tuple(delete_actions(find_all(account.cloud, account.project.project)))))
    account.down()
    (left,) = account.left()
    assert left.what == SNAPSHOT
    assert left.id.startswith(f"{account.project.prerequisites.stack}-snapshot-")
    assert account.facts().of(StackFacts).stack is None


def make(account: Account, *names: str) -> Plan:
    """Make some stages; return the plan that did it. A cluster without containers needs no others."""
    chosen = names or ("prerequisites", "bucket")
    whole = stages.up(account.project, account.facts(closely=True))
    plan = Plan(tuple(action for action in whole.actions if action.stage in chosen), whole.notes)
    account.run(plan)
    return plan


def outputs(account: Account) -> dict[str, str]:
    return dict(account.facts().of(StackFacts).outputs)


def inputs(account: Account) -> ClusterInputs:
    return inputs_from_outputs(outputs(account), account.project, account.cloud.account)


def document(account: Account) -> list[dict[str, Any]]:
    arn = outputs(account)["NodePolicy"]
    version = account.call("iam", "GetPolicy", PolicyArn=arn)["Policy"]["DefaultVersionId"]
    found = account.call("iam", "GetPolicyVersion", PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    statements: list[dict[str, Any]] = found["Statement"]
    return statements


def database(account: Account) -> dict[str, Any]:
    uri = outputs(account)["DatabaseUri"]
    rows = account.cloud.pages("rds", "DescribeDBClusters", "DBClusters")
    (found,) = [row for row in rows if f"{row['Endpoint']}:{row['Port']}" == uri]
    return dict(found)


def test_the_database_is_private_encrypted_and_only_its_clients_reach_it(account: Account) -> None:
    found, made = database(account), outputs(account)
    assert (found["Engine"], found["StorageEncrypted"], found["MasterUsername"]) == ("aurora-mysql", True, "slurm")
    assert found["BackupRetentionPeriod"] == 7
    (group,) = [each["VpcSecurityGroupId"] for each in found["VpcSecurityGroups"]]
    rules = account.call("ec2", "DescribeSecurityGroups", GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    (rule,) = rules
    assert (rule["FromPort"], rule["ToPort"], rule.get("IpRanges", [])) == (3306, 3306, [])
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [made["DatabaseClientGroup"]]
    subnets = [made["PrimaryPrivateSubnet"], made["SecondaryPrivateSubnet"]]
    zones = {row["AvailabilityZone"] for row in account.call("ec2", "DescribeSubnets", SubnetIds=subnets)["Subnets"]}
    assert len(zones) == 2
    assert {"Key": "pcinfra:project", "Value": account.project.project} in found["TagList"]
    assert make(account).actions == ()


def test_the_real_pcluster_makes_a_cluster_with_both(account: Account) -> None:
    (name,) = account.project.clusters
    config = render(name, account.project.clusters[name], inputs(account))
    assert Pcluster(account.doors.shell, account.doors.target).dryrun(name, config) == []
    account.run(create_plan(find(account.cloud, name), account.project.project, config), limit=600)
    running = [{"Name": "tag:parallelcluster:cluster-name", "Values": [name]}]
    rows = account.cloud.pages("ec2", "DescribeInstances", "Reservations", Filters=running)
    (head,) = [instance for row in rows for instance in row["Instances"]]
    groups = {group["GroupId"] for card in head["NetworkInterfaces"] for group in card["Groups"]}
    assert groups >= {outputs(account)["DatabaseClientGroup"], outputs(account)["SecurityGroup"]}
    roles = account.call("iam", "ListEntitiesForPolicy", PolicyArn=outputs(account)["NodePolicy"])["PolicyRoles"]
    assert len(roles) == 2  # the head node's and the queue's
    if not accounting.missing() and os.geteuid() == 0:  # else paths are others
        assert_history_is_kept_by_a_real_slurmdbd(account, name)


def assert_history_is_kept_by_a_real_slurmdbd(account: Account, name: str) -> None:
    head = SsmHeadNode(account.cloud, head_node_id(account.cloud, name), "")
    conf = head.administer("cat /opt/slurm/etc/slurmdbd.conf").check().stdout
    assert f"StorageLoc={name.replace('-', '_')}\n" in conf
    assert head.administer("sacctmgr -n show cluster format=cluster%20").check().stdout.split() == ["parallelcluster"]


def test_a_changed_list_changes_the_policy_in_place(account: Account) -> None:
    before = outputs(account)["NodePolicy"]
    more = account.project.model_copy(update={"nodes": Nodes(secrets=(SECRET, "ssm:/team/*"))})
    changed = Account(account.target, more)
    (row,) = [row for row in rows(changed) if row.what == "policy of the nodes"]
    assert (row.health, row.detail) == (Health.DIFFERS, ""), "as the stack does, and not by anybody's hand"
    plan = make(changed)
    assert [(action.id, action.kind, action.loses) for action in plan.actions] == [
        (CHANGES, Kind.RUN, ""),
        (STACK, Kind.UPDATE, ""),
    ]
    assert outputs(changed)["NodePolicy"] == before
    (reading,) = [each for each in document(changed) if each["Sid"] == "ReadParameters"]
    assert reading["Resource"] == [f"arn:aws:ssm:us-east-1:{account.cloud.account}:parameter/team/*"]
    make(account)
    assert "ReadParameters" not in [each["Sid"] for each in document(account)]


def test_what_was_changed_by_hand_is_seen_and_mended(account: Account) -> None:
    made, cloud = outputs(account), account.call
    arn, server, clients = made["NodePolicy"], made["DatabaseServerGroup"], made["DatabaseClientGroup"]
    assert standing(account) == {"policy of the nodes": Health.OK, "accounting database": Health.OK}
    before = document(account)
    wide = [{**each, "Resource": "*"} if each["Sid"] == "PullImages" else each for each in before]
    text = json.dumps({"Version": "2012-10-17", "Statement": [*wide, {**wide[0], "Sid": "Mine"}]})
    while len(cloud("iam", "ListPolicyVersions", PolicyArn=arn)["Versions"]) < 5:  # no room for the one that mends
        cloud("iam", "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)
    world = [{"IpProtocol": "tcp", "FromPort": 3306, "ToPort": 3306, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    mine = account.cloud.pages("ec2", "DescribeSecurityGroupRules", "SecurityGroupRules",
                               Filters=[{"Name": "group-id", "Values": [server]}])  # fmt: skip
    (inward,) = [rule["SecurityGroupRuleId"] for rule in mine if not rule["IsEgress"]]
    cloud("ec2", "AuthorizeSecurityGroupIngress", GroupId=server, IpPermissions=world)
    cloud("ec2", "RevokeSecurityGroupIngress", GroupId=server, SecurityGroupRuleIds=[inward])
    assert standing(account) == {"policy of the nodes": Health.DIFFERS, "accounting database": Health.DIFFERS}

    plan = make(account)
    rules, policy = plan.actions
    assert (rules.id, policy.id) == ("prerequisites/rules-DatabaseServerGroup", "prerequisites/policy")
    assert {(change.key, change.before, change.after) for change in rules.changes} == {
        ("in tcp 3306 from 0.0.0.0/0", "added by hand", None),
        (f"in tcp 3306 from {clients}", None, "as it was made"),
    }
    changed = {change.key: (change.before, change.after) for change in policy.changes}
    assert set(changed) == {"PullImages", "Mine"}
    assert changed["Mine"][1] is None
    assert '"Resource": "*"' in (changed["PullImages"][0] or "")
    assert standing(account) == {"policy of the nodes": Health.OK, "accounting database": Health.OK}
    assert make(account).actions == ()
    assert {each["Sid"] for each in document(account)} == {each["Sid"] for each in before}


def test_a_policy_deleted_by_hand_is_made_anew(account: Account) -> None:
    arn = outputs(account)["NodePolicy"]
    for role in account.call("iam", "ListEntitiesForPolicy", PolicyArn=arn)["PolicyRoles"]:
        account.call("iam", "DetachRolePolicy", RoleName=role["RoleName"], PolicyArn=arn)
    for version in account.call("iam", "ListPolicyVersions", PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            account.call("iam", "DeletePolicyVersion", PolicyArn=arn, VersionId=version["VersionId"])
    account.call("iam", "DeletePolicy", PolicyArn=arn)
    assert standing(account)["policy of the nodes"] is Health.FAILED
    notes = make(account).notes
    assert [note for note in notes if "pcinfra cluster update NAME" in note]
    assert not [note for note in notes if "what was only there is lost" in note], "no file system went"
    assert outputs(account)["NodePolicy"] != arn
    assert standing(account)["policy of the nodes"] is Health.OK


def rows(account: Account) -> list[Resource]:
    (stage,) = [stage for stage in stages.REGISTRY if stage.name == "prerequisites"]
    return stage.status(account.project, account.facts(closely=True))


def standing(account: Account) -> dict[str, Health]:
    return {row.what: row.health for row in rows(account) if row.what in ("policy of the nodes", "accounting database")}


def test_a_database_that_nobody_wants_any_more_goes_only_with_a_yes(account: Account) -> None:
    without = Account(account.target, account.project.model_copy(update={"clusters": {}}))
    (change,) = [action for action in without.plan().actions if action.id == STACK]
    assert change.kind is Kind.REPLACE
    assert "its last snapshot stays" in change.loses


def test_a_teardown_says_that_the_last_snapshot_stays(account: Account) -> None:
    """That it does stay is what the fixture looks at, at the end."""
    notes = stages.down(account.project, account.facts(contents=True)).notes
    assert [note for note in notes if "its last snapshot stays" in note]

"""Policies that a stack makes: judged by IAM, changed in place, and held by the roles that have them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.local.cfn.harness import Cloud, Json, resources

ALLOWED: Json = {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::bucket"]}


def policy(**properties: Any) -> Json:
    document = {"Version": "2012-10-17", "Statement": [ALLOWED]}
    return {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document, **properties}}


def document(*statements: Json) -> Json:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def create(cloud: Cloud, template: Json) -> Json:
    return cloud.create(template, Capabilities=["CAPABILITY_IAM"])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (document({**ALLOWED, "Effect": "Maybe"}), "Syntax errors in policy"),
        (document({**ALLOWED, "Actions": "s3:*"}), "Syntax errors in policy"),
        (document({"Effect": "Allow", "Action": "*"}), "Policy statement must contain resources"),
        (document({**ALLOWED, "Resource": ["bucket"]}), "must be in ARN format"),
        (document({**ALLOWED, "Resource": [f"arn:aws:s3:::{'b' * 60}{n}" for n in range(90)]}), "PolicySize: 6144"),
    ],
    ids=["effect", "key", "no resource", "no arn", "too long"],
)
def test_a_document_that_iam_refuses_rolls_the_stack_back(cloud: Cloud, wrong: Json, reason: str) -> None:
    stack = create(cloud, resources(A=policy(PolicyDocument=wrong)))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert reason in cloud.failures()["A"]


def test_a_changed_document_is_the_same_policy_and_a_changed_path_another(cloud: Cloud) -> None:
    iam = cloud.client("iam")
    create(cloud, resources(A=policy(Path="/own/")))
    arn = cloud.physical("A")
    assert arn.startswith("arn:aws:iam::123456789012:policy/own/stack-A-")
    for number in range(7):  # IAM keeps five versions
        changed = document({**ALLOWED, "Resource": [f"arn:aws:s3:::bucket-{number}"]})
        stack = cloud.update(resources(A=policy(Path="/own/", PolicyDocument=changed)), Capabilities=["CAPABILITY_IAM"])
        assert stack["StackStatus"] == "UPDATE_COMPLETE", cloud.failures()
    assert cloud.physical("A") == arn
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    assert json.loads(json.dumps(found)) == changed
    cloud.update(resources(A=policy(Path="/other/", PolicyDocument=changed)), Capabilities=["CAPABILITY_IAM"])
    assert cloud.physical("A") != arn


def test_a_policy_that_a_role_holds_is_not_deleted_until_the_role_lets_go(cloud: Cloud) -> None:
    iam = cloud.client("iam")
    create(cloud, resources(A=policy()))
    arn = cloud.physical("A")
    iam.create_role(RoleName="theirs", AssumeRolePolicyDocument=json.dumps(document()))
    iam.attach_role_policy(RoleName="theirs", PolicyArn=arn)
    stack = cloud.delete()
    assert stack["StackStatus"] == "DELETE_FAILED"
    assert "Cannot delete a policy attached to entities." in cloud.failures()["A"]
    iam.detach_role_policy(RoleName="theirs", PolicyArn=arn)
    iam.delete_role(RoleName="theirs")
    assert cloud.delete()["StackStatus"] == "DELETE_COMPLETE"
    assert arn not in [row["Arn"] for row in iam.list_policies(Scope="Local")["Policies"]]

"""The policy as text: its actions exist, it fits into IAM, and it knows every call that the source names."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from pcinfra import iam_policy
from pcinfra.clusters import derive
from pcinfra.clusters.inputs import placeholder_inputs
from pcinfra.iam_policy import FREE, PURPOSES, STATEMENTS, chosen, names_of, policies
from pcinfra.iam_policy.stack import ACTIONS, LEFT_OUT, actions_of
from pcinfra.project import Bucket, Project

ROOT = Path(__file__).parents[2]
KEY = "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
STACK = "parallelcluster-prerequisites"
GRANTS = [(statement, grant) for statement in STATEMENTS for grant in statement.grants]


def cfnlint_data(*parts: str) -> Any:
    package = pytest.importorskip("cfnlint")
    return json.loads(Path(package.__file__).parent.joinpath("data", *parts).read_text(encoding="utf-8"))


def test_every_action_exists() -> None:
    """The list of actions is that of the AWS policy generator, as cfn-lint ships it."""
    known = cfnlint_data("AdditionalSpecs", "Policies.json")
    for _, grant in GRANTS:
        service, name = grant.action.lower().split(":")
        names = known[service]["Actions"]
        pattern = re.compile(name.replace("*", ".*"))
        assert any(pattern.fullmatch(other) for other in names), grant.action


NEWER = ("ssmmessages:OpenDataChannel",)
"""Takes a session since clients sign for it (Systems Manager user guide, "Sample IAM policies for Session Manager");
cfn-lint's data is older."""


def test_a_resource_is_named_only_where_the_action_takes_one() -> None:
    known = cfnlint_data("AdditionalSpecs", "Policies.json")
    for statement, grant in GRANTS:
        service, name = grant.action.lower().split(":")
        if statement.resources != ("*",) and "*" not in name and grant.action not in NEWER:
            assert known[service]["Actions"][name].get("Resources"), f"{grant.action} takes no resource"


def test_statements_have_names_purposes_and_reasons() -> None:
    sids = [statement.sid for statement in STATEMENTS]
    assert len(set(sids)) == len(sids)
    for statement in STATEMENTS:
        assert re.fullmatch(r"[A-Za-z0-9]+", statement.sid)
        assert statement.purposes <= set(PURPOSES)
        assert statement.purposes
    for _, grant in GRANTS:
        assert grant.calls or grant.why, f"{grant.action} is there for no call and no reason"


def template_types() -> set[str]:
    text = (ROOT / "cfn" / "parallelcluster-prerequisites.yaml").read_text(encoding="utf-8")

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, tag, node: None)
    types = {resource["Type"] for resource in yaml.load(text, Loader)["Resources"].values()}
    return types - {"AWS::CloudFormation::WaitConditionHandle"}  # makes nothing


def test_the_stack_has_no_resource_without_its_actions() -> None:
    assert template_types() == set(ACTIONS)


@pytest.mark.parametrize("kind", sorted(set(ACTIONS) - {"AWS::FSx::FileSystem"}))
def test_the_actions_of_a_resource_are_those_of_its_schema(kind: str) -> None:
    name = cfnlint_data("schemas", "providers", "us-east-1.json")[kind]
    handlers = cfnlint_data("schemas", "resources", f"{name}.json")["handlers"]
    steps = [handlers[step]["permissions"] for step in ("create", "update", "delete") if step in handlers]
    asked = {action for permissions in steps for action in permissions}
    granted = set(actions_of(kind))
    assert asked - granted <= set(LEFT_OUT)
    assert granted - asked <= {"ec2:DeleteTags"}
    assert not granted & set(LEFT_OUT)


def literal_calls() -> set[tuple[str, str]]:
    """Return every pair of neighbouring texts in the source that is a service and an operation of it."""
    botocore = pytest.importorskip("botocore.session").get_session()
    services = set(botocore.get_available_services())
    pairs = set()
    for file in (ROOT / "pcinfra").rglob("*.py"):
        if "localcloud" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            parts = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.Tuple) else []
            texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
            pairs |= {(a, b) for a, b in pairwise(texts) if a in services and isinstance(b, str)}
    models = {name: botocore.get_service_model(name) for name, _ in pairs}
    return {
        (models[name].service_id.hyphenize(), operation)
        for name, operation in pairs
        if operation in models[name].operation_names
    }


def test_every_call_that_the_source_names_is_in_the_table() -> None:
    allowed = {call for _, grant in GRANTS for call in grant.calls} | set(FREE)
    found = {f"{service}.{operation}" for service, operation in literal_calls()}
    assert len(found) > 40
    assert found - allowed == set(), "add the call to pcinfra/iam_policy"


@pytest.mark.parametrize("purposes", [PURPOSES, *[(each,) for each in PURPOSES]], ids=str)
def test_every_policy_fits_into_iam(purposes: tuple[str, ...]) -> None:
    long = Project(project="p" * 40, bucket=Bucket(name="b" * 63), kms_key=KEY)
    documents = policies(chosen(purposes), names_of(long, "123456789012"))
    assert all(iam_policy.size(document) <= iam_policy.MAXIMUM for document in documents)
    assert sorted(s["Sid"] for d in documents for s in d["Statement"]) == sorted(s.sid for s in chosen(purposes))
    resources = [resource for d in documents for s in d["Statement"] for resource in s["Resource"]]
    resources = [re.sub(r"\$\{aws:\w+\}", "", resource) for resource in resources]  # IAM's own variables
    assert not [resource for resource in resources if "{" in resource or "}" in resource]


def test_a_key_is_allowed_only_where_the_project_has_one() -> None:
    with_key = json.dumps(policies(chosen(["up"]), names_of(Project(kms_key=KEY))))
    assert KEY in with_key
    assert "kms:" not in json.dumps(policies(chosen(["up"]), names_of(Project())))


@pytest.mark.parametrize(
    ("region", "partition", "suffix"),
    [("us-east-1", "aws", "amazonaws.com"), ("cn-north-1", "aws-cn", "amazonaws.com.cn")],
)
def test_who_submits_jobs_may_use_the_key_through_the_bucket_and_for_nothing_else(
    region: str, partition: str, suffix: str
) -> None:
    project = Project(region=region, kms_key=KEY, bucket=Bucket(name="training"))
    (document,) = policies(chosen(["jobs"]), names_of(project))
    (statement,) = [each for each in document["Statement"] if "kms:" in json.dumps(each["Action"])]
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert statement["Resource"] == [KEY]
    bucket = f"arn:{partition}:s3:::training"
    assert statement["Condition"] == {
        "StringEquals": {"kms:ViaService": f"s3.{region}.{suffix}"},
        "StringLike": {"kms:EncryptionContext:aws:s3:arn": [bucket, f"{bucket}/pcinfra/*"]},
    }
    assert "kms:" not in json.dumps(policies(chosen(["jobs"]), names_of(Project(region=region))))


def test_resources_are_this_projects() -> None:
    documents = policies(chosen(PURPOSES), names_of(Project(region="cn-north-1"), "123456789012"))
    by_sid = {statement["Sid"]: statement for document in documents for statement in document["Statement"]}
    assert by_sid["ChangeStack"]["Resource"] == [
        "arn:aws-cn:cloudformation:cn-north-1:123456789012:stack/parallelcluster-prerequisites/*"
    ]
    assert by_sid["ChangeBucket"]["Resource"] == ["arn:aws-cn:s3:::parallelcluster-123456789012-cn-north-1"]
    assert by_sid["RunOnHeadNodes"]["Condition"] == {"StringEquals": {"aws:ResourceTag/pcinfra:project": "training"}}
    assert "cloudformation.amazonaws.com" in json.dumps(by_sid["StackNetwork"]["Condition"])


@pytest.mark.parametrize("own", [f"arn:aws:iam::123456789012:policy/parallelcluster/pcinfra/us-east-1/{STACK}/x-1", ""])
def test_nodes_may_be_given_exactly_the_policies_that_clusters_name(own: str) -> None:
    inputs = replace(placeholder_inputs(Project()), node_policy=own)
    (document,) = policies(chosen(["cluster"]), names_of(Project(), "123456789012"))
    (statement,) = [each for each in document["Statement"] if each["Sid"] == "ClusterRoles"]
    allowed = statement["Condition"]["ArnLike"]["iam:PolicyARN"]
    named = [str(policy.value) for policy in derive.policies(inputs)]
    assert [sum(fnmatchcase(arn, each) for each in allowed) for arn in named] == [1] * len(named)
    assert len(allowed) == 3


def test_who_only_submits_jobs_may_change_nothing_else() -> None:
    actions = {grant.action for statement in chosen(["jobs"]) for grant in statement.grants}
    reading = {"ec2:DescribeInstances", "ecr:DescribeImages", "ecr:DescribeRepositories", "ssm:GetCommandInvocation",
               "eks:DescribeCluster", "s3:ListBucket", "ec2:DescribeCapacityReservations"}  # fmt: skip
    through_s3 = {"kms:Decrypt", "kms:GenerateDataKey"}
    shell = {"ssm:StartSession", "ssm:TerminateSession", "ssm:ResumeSession", "ssmmessages:OpenDataChannel"}
    commands = {"ssm:SendCommand", "s3:PutObject", "s3:GetObject", "s3:DeleteObject"}
    assert actions - reading == commands | through_s3 | shell
    ports = {name for each in chosen(["jobs"]) for name in each.resources if "document/" in name}
    assert {name.rpartition("/")[2] for name in ports} == {"AWS-RunShellScript", "AWS-StartInteractiveCommand"}
    objects = {each for statement in chosen(["jobs"]) if statement.sid == "Payloads" for each in statement.resources}
    assert objects == {"arn:{partition}:s3:::{bucket}/pcinfra/payloads/*"}
    (listing,) = [each for each in chosen(["jobs"]) if "s3:ListBucket" in {grant.action for grant in each.grants}]
    assert listing.condition == {"StringLike": {"s3:prefix": "pcinfra/code/*"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert pcinfra(tmp_path, "init", "--yes").returncode == 0
    return tmp_path


def pcinfra(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pcinfra.cli.main", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command(folder: Path) -> None:
    one = pcinfra(folder, "iam-policy", "--for", "jobs", "--account", "123456789012")
    assert json.loads(one.stdout)["Version"] == "2012-10-17"
    several = pcinfra(folder, "iam-policy", "--account", "123456789012")
    names = list(json.loads(several.stdout))
    assert names == [f"pcinfra-{number}" for number in range(1, len(names) + 1)]
    assert len(names) > 1
    assert "6144 characters" in several.stderr
    written = pcinfra(folder, "iam-policy", "--account", "123456789012", "--write", "policies")
    assert written.stdout.count("aws iam create-policy") == len(names)
    assert json.loads((folder / "policies" / "pcinfra-2.json").read_text())["Statement"]


def test_without_credentials_the_account_is_left_open(folder: Path) -> None:
    done = pcinfra(folder, "iam-policy", "--for", "up")
    assert done.returncode == 0
    assert "arn:aws:s3:::parallelcluster-*-us-east-1" in done.stdout
    assert "--account ID" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "why"), [(("--for", "everything"), "no purpose 'everything'"), (("--account", "12"), "no account id")]
)
def test_wrong_words_are_refused(folder: Path, arguments: tuple[str, ...], why: str) -> None:
    done = pcinfra(folder, "iam-policy", *arguments)
    assert (done.returncode, why in done.stderr) == (2, True)

"""What `nodes` grants: ARNs, and whether a job's secret or image is among them."""

from __future__ import annotations

import pytest

from pcinfra.project import Image, Nodes, Project, grants

ACCOUNT = "123456789012"
HERE = f"us-east-1:{ACCOUNT}"


def project(*secrets: str, repositories: tuple[str, ...] = ()) -> Project:
    return Project(nodes=Nodes(secrets=secrets, repositories=repositories))


def test_names_become_arns_of_the_projects_own_account() -> None:
    found = project("secretsmanager:team/hf", "secretsmanager:team/*", "ssm:/team/a", "ssm:plain", "ssm:/team/a")
    assert grants.secret_arns(found, ACCOUNT) == (
        f"arn:aws:secretsmanager:{HERE}:secret:team/hf-??????",
        f"arn:aws:secretsmanager:{HERE}:secret:team/*",
    )
    assert grants.parameter_arns(found, ACCOUNT) == (
        f"arn:aws:ssm:{HERE}:parameter/team/a",
        f"arn:aws:ssm:{HERE}:parameter/plain",
    )


def test_images_come_first_and_other_partitions_have_their_own_arns() -> None:
    images = {"a": Image(repository="one"), "b": Image(repository="two")}
    found = Project(region="cn-north-1", images=images, nodes=Nodes(repositories=("two", "team/*")))
    start = f"arn:aws-cn:ecr:cn-north-1:{ACCOUNT}:repository"
    assert grants.repository_arns(found, ACCOUNT) == (f"{start}/one", f"{start}/two", f"{start}/team/*")


ARN = f"arn:aws:secretsmanager:{HERE}:secret:team/hf"


@pytest.mark.parametrize(
    ("granted", "asked", "reads"),
    [
        ("secretsmanager:team/hf", "secretsmanager:team/hf", True),
        ("secretsmanager:team/hf", "secretsmanager:team/hf#token", True),
        ("secretsmanager:team/*", "secretsmanager:team/hf#token", True),
        ("secretsmanager:team/hf", "secretsmanager:team/hf2", False),
        ("secretsmanager:team/hf", "secretsmanager:other", False),
        ("secretsmanager:team/hf", "ssm:team/hf", False),
        ("secretsmanager:team/hf", f"{ARN}-AbCdEf", True),
        ("secretsmanager:team/hf", f"{ARN}#token", True),
        (f"{ARN}-AbCdEf", "secretsmanager:team/hf#token", True),
        (f"{ARN}-AbCdEf", f"{ARN}-AbCdEf#token", True),
        (f"{ARN}-AbCdEf", f"{ARN}-GhIjKl", False),
        ("ssm:/team/*", "ssm:/team/a/b", True),
        ("ssm:/team/*", "ssm:/teams", False),
        ("ssm:plain", "ssm:/plain", True),
        ("ssm:/a", f"arn:aws:ssm:{HERE}:parameter/a", True),
        ("ssm:/a", f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/a", False),
    ],
)
def test_what_a_job_names_is_among_them_or_not(granted: str, asked: str, reads: bool) -> None:
    assert grants.reads(project(granted), asked) is reads
    assert not grants.reads(project(), asked)


@pytest.mark.parametrize(
    ("arn", "pulls"),
    [
        (f"arn:aws:ecr:{HERE}:repository/pytorch-training-custom", True),
        (f"arn:aws:ecr:{HERE}:repository/team/train", True),
        (f"arn:aws:ecr:{HERE}:repository/theirs", False),
        (f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/team/train", False),
        ("arn:aws:ecr:us-east-1:763104351884:repository/pytorch-training", True),
    ],
)
def test_which_repositories_nodes_pull_from(arn: str, pulls: bool) -> None:
    assert grants.pulls(project(repositories=("team/*",)), ACCOUNT, arn) is pulls

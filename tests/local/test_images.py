"""A project with more than one image: each has its repository, its tags and its build."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pcinfra.aws import Target
from pcinfra.cli.env import variables
from pcinfra.cli.image import image
from pcinfra.cli.teardown import of_stage
from pcinfra.doctor import belongings
from pcinfra.engine import Plan
from pcinfra.errors import UsageError
from pcinfra.iam_policy import chosen, names_of, policies
from pcinfra.images import codebuild
from pcinfra.images.builders.codebuild import EnsureRole
from pcinfra.images.reference import find, reference
from pcinfra.project import Image
from pcinfra.stages.image import Image as Stage
from pcinfra.stages.image import ImageFacts, ImagesFacts, order
from tests.account import Account
from tests.commands import run, session
from tests.conftest import new_project


@pytest.fixture(scope="module")
def pair(local_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Account:
    """An account with two images, both pushed; tests only read it, or push what is there."""
    project, folder = new_project(), tmp_path_factory.mktemp("context")
    (folder / "Dockerfile").write_text("FROM scratch\n")
    first = project.images["pytorch"].repository
    images = {
        "pytorch": Image(repository=first, context=str(folder)),
        "evaluation": Image(repository=f"{first}/eval", context=str(folder), tag="v1", immutable_tags=True),
    }
    account = Account(local_target, project.model_copy(update={"images": images}))
    status, shown = run(image, account, "push")
    assert status == 0
    assert [line.partition("@")[0] for line in shown.splitlines()] == [first, f"{first}/eval"]
    return account


def only_image(plan: Plan) -> Plan:
    return Plan(tuple(action for action in plan.actions if action.stage == "image"))


def test_both_are_there_and_nothing_is_left_to_do(pair: Account) -> None:
    assert only_image(pair.plan()) == Plan()
    rows = json.loads(run(image, pair, "list", "--output", "json")[1])
    assert [row["image"] for row in rows] == ["pytorch", "evaluation"]
    assert [len(row["tags"]) for row in rows] == [2, 1]
    assert json.loads(run(image, pair, "list", "evaluation", "--output", "json")[1]) == rows[1:]


def test_each_is_named_by_its_own_digest_and_jobs_may_ask_in_one_call(pair: Account) -> None:
    facts = pair.facts()
    before = pair.cloud.calls.total()
    for name in pair.project.images:
        found = find(pair.project, pair.cloud, name)
        repository = pair.project.images[name].repository
        assert found.full == f"{facts.account}.dkr.ecr.us-east-1.amazonaws.com/{repository}@{found.digest}"
        assert found.digest.startswith("sha256:")
    assert pair.cloud.calls.total() - before == 2
    assert variables(pair.project, facts)["TRAINING_IMAGE_URI"] == find(pair.project, pair.cloud, "pytorch").full


def test_where_there_is_none_it_is_named_by_tag(account: Account) -> None:
    found = find(account.project, account.cloud, "pytorch")
    assert found == reference(account.project, account.cloud.account, "pytorch")
    assert found.full == f"{found.uri}:latest"


@pytest.mark.parametrize(("region", "domain"), [("cn-north-1", "amazonaws.com.cn"), ("us-gov-west-1", "amazonaws.com")])
def test_the_registry_is_the_partitions(region: str, domain: str) -> None:
    project = new_project(region=region)
    assert reference(project, "1" * 12, "pytorch").uri.startswith(f"{'1' * 12}.dkr.ecr.{region}.{domain}/")


def test_one_name_is_enough_and_a_wrong_one_is_answered(pair: Account) -> None:
    assert run(image, pair, "push", "evaluation")[1] == "Nothing to change.\n"
    with pytest.raises(UsageError, match="no image 'evalution' in pcinfra") as caught:
        run(image, pair, "push", "evalution")
    assert caught.value.hint == "one of: evaluation"


def test_doctor_looks_at_each(pair: Account) -> None:
    found = [(line.what, line.verdict.value) for line in belongings.images(pair.project, pair.doors)]
    assert [what.partition(":")[0] for what, _ in found][1::2] == ["image pytorch", "image evaluation"]
    assert {verdict for _, verdict in found} == {"ok"}


def test_the_policy_is_for_each_repository() -> None:
    project = new_project()
    both = {**project.images, "b": Image(repository="other")}
    documents = policies(chosen(["down"]), names_of(project.model_copy(update={"images": both})))
    rows = [row for document in documents for row in document["Statement"]]
    deletes = next(row for row in rows if row["Sid"] == "DeleteRepository")
    ends = [arn.rpartition("/")[2] for arn in deletes["Resource"]]
    assert ends == [project.images["pytorch"].repository, "other"]


def test_one_role_of_codebuild_may_push_to_all(pair: Account) -> None:
    facts = pair.facts()
    documents = []
    for name in pair.project.images:
        EnsureRole(order(pair.project, facts, name)).start(pair.doors, {})
        role = codebuild.role_name(pair.project.project, "us-east-1")
        documents.append(
            pair.call("iam", "GetRolePolicy", RoleName=role, PolicyName=codebuild.POLICY)["PolicyDocument"]
        )
    assert documents[0] == documents[1]
    push = next(row for row in documents[0]["Statement"] if row["Sid"] == "Push")
    assert len(push["Resource"]) == 2
    pair.call("iam", "DeleteRolePolicy", RoleName=role, PolicyName=codebuild.POLICY)
    pair.call("iam", "DeleteRole", RoleName=role)


def test_what_serves_every_image_is_planned_once(pair: Account) -> None:
    facts = pair.facts()
    missing = ImagesFacts({name: ImageFacts(None, "0" * 64, "codebuild") for name in pair.project.images})
    plan = Stage().up(pair.project, facts.plus(missing))
    ids = [action.id for action in plan.actions]
    assert ids.count("image/build project") == 1
    assert {"image/image/pytorch", "image/image/evaluation"} <= set(ids)


def test_down_takes_both_and_leaves_nothing(local_target: Target, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    project = new_project()
    first = project.images["pytorch"].repository
    images = {n: Image(repository=f"{first}-{n}", context=str(tmp_path)) for n in ("a", "b")}
    account = Account(local_target, project.model_copy(update={"images": images}))
    run(image, account, "push")
    assert [row.what for row in account.left()] == ["repository", "repository"]
    (tmp_path / "more").write_text("")
    found = of_stage(session(account), "image", with_data=False, skip_export=False)
    assert (found.plan.actions, len(found.kept)) == ((), 2)
    account.run(of_stage(session(account), "image", with_data=True, skip_export=False).plan)
    assert account.left() == []

"""What every stage of the registry must do, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pcinfra import stages
from pcinfra.aws import Target
from pcinfra.cli.env import variables
from pcinfra.engine import Kind, Plan
from pcinfra.project import Cluster
from pcinfra.stages import REGISTRY, Facts, Health, Stage
from pcinfra.stages.associations import AssociationFacts
from pcinfra.stages.prerequisites import OUTPUT_VARIABLES, StackFacts
from tests.account import Account
from tests.conftest import new_project

STAGES = pytest.mark.parametrize("stage", REGISTRY, ids=lambda stage: stage.name)

# The 23 variables of the guide's final listing, in its order.
GUIDE = [
    "AWS_REGION",
    "STACK_NAME",
    "PRIMARY_AZ",
    "VPC_ID",
    "PUBLIC_SUBNET_ID",
    "PRIVATE_SUBNET_ID",
    "SECURITY_GROUP_ID",
    "FSX_LUSTRE_ID",
    "FSX_LUSTRE_MOUNT_NAME",
    "FSX_LUSTRE_DNS",
    "FSX_OPENZFS_ROOT_VOLUME_ID",
    "HEAD_NODE_BOOTSTRAP_SCRIPT",
    "COMPUTE_NODE_BOOTSTRAP_SCRIPT",
    "AWS_ACCOUNT_ID",
    "S3_BUCKET_NAME",
    "ECR_REPO_NAME",
    "ECR_REPO_URI",
    "IMAGE_TAG",
    "TRAINING_IMAGE_URI",
    "LUSTRE_DATA_DIR",
    "LUSTRE_CHECKPOINT_DIR",
    "LUSTRE_LOG_DIR",
    "LUSTRE_RESULTS_DIR",
]


@pytest.fixture(scope="module")
def standing(local_target: Target) -> Account:
    """An account in which everything is up; tests only read it."""
    account = Account(local_target, new_project())
    account.up()
    return account


@pytest.fixture(scope="module")
def empty(local_target: Target) -> tuple[Account, Facts]:
    account = Account(local_target, new_project())
    return account, account.facts()


@STAGES
def test_where_nothing_is_everything_is_planned_and_absent(stage: Stage, empty: tuple[Account, Facts]) -> None:
    account, facts = empty
    plan = stage.up(account.project, facts)
    assert plan.actions
    assert all(action.stage == stage.name for action in plan.actions)
    assert all(action.what and action.why and action.seconds > 0 for action in plan.actions)
    assert {row.health for row in stage.status(account.project, facts)} == {Health.ABSENT}
    assert not stage.down(account.project, facts).actions


@STAGES
def test_where_everything_is_nothing_is_planned_and_all_is_well(stage: Stage, standing: Account) -> None:
    facts = standing.facts()
    assert stage.up(standing.project, facts).actions == ()
    assert {row.health for row in stage.status(standing.project, facts)} == {Health.OK}


@STAGES
def test_planning_twice_gives_the_same_plan(stage: Stage, empty: tuple[Account, Facts]) -> None:
    account, facts = empty
    assert stage.up(account.project, facts) == stage.up(account.project, facts)


def test_the_variables_are_the_guides_in_its_order(standing: Account) -> None:
    found = variables(standing.project, standing.facts())
    assert list(found) == GUIDE
    assert all(found.values())


def test_a_second_up_reads_little(standing: Account) -> None:
    before = standing.cloud.calls.total()
    fresh = Account(standing.target, standing.project)
    assert fresh.plan() == Plan()
    assert fresh.cloud.calls.total() <= 16, fresh.cloud.calls
    assert standing.cloud.calls.total() == before


def test_a_plan_with_ten_clusters_makes_the_same_calls(standing: Account) -> None:
    clusters = {f"c{n}": Cluster() for n in range(10)}
    many = Account(standing.target, standing.project.model_copy(update={"clusters": clusters}))
    assert many.plan() == Plan()
    assert many.cloud.calls.total() <= 16, many.cloud.calls


def test_doing_the_same_plan_twice_converges(account: Account) -> None:
    """What two runs at once do: both planned on an empty account."""
    plan = account.plan()
    account.run(plan)
    account.run(plan)
    assert account.plan().actions == ()
    assert len(account.facts().of(AssociationFacts).found) == 4


def test_up_then_down_leaves_nothing(account: Account) -> None:
    account.up()
    account.down()
    assert account.left() == []
    assert account.facts().of(StackFacts).stack is None


@dataclass(frozen=True)
class Drift:
    """Something changed by hand, behind our back, and the stage that must notice."""

    stage: str
    change: Callable[[Account], object]


def _first_association(account: Account) -> str:
    return account.facts().of(AssociationFacts).found["/logs"].id


def bucket(account: Account) -> str:
    return account.project.bucket.name


HEAD = "scripts/bootstrap/head-node-enroot-pyxis-setup.sh"

DRIFTS = {
    "bucket made public": Drift(
        "bucket", lambda a: a.call("s3", "DeletePublicAccessBlock", Bucket=bucket(a))
    ),
    "bucket policy deleted": Drift("bucket", lambda a: a.call("s3", "DeleteBucketPolicy", Bucket=bucket(a))),
    "versioning suspended": Drift(
        "bucket",
        lambda a: a.call(
            "s3", "PutBucketVersioning", Bucket=bucket(a), VersioningConfiguration={"Status": "Suspended"}
        ),
    ),
    "life cycle deleted": Drift("bucket", lambda a: a.call("s3", "DeleteBucketLifecycle", Bucket=bucket(a))),
    "script overwritten": Drift(
        "scripts",
        lambda a: a.call(
            "s3", "PutObject", Bucket=bucket(a), Key=HEAD, Body=b"rm -rf /",
        ),
    ),
    "script deleted": Drift(
        "scripts",
        lambda a: a.call(
            "s3", "DeleteObject", Bucket=bucket(a), Key=HEAD
        ),
    ),
    "scanning switched off": Drift(
        "image",
        lambda a: a.call(
            "ecr", "PutImageScanningConfiguration", repositoryName=a.project.images["pytorch"].repository,
            imageScanningConfiguration={"scanOnPush": False},
        ),
    ),
    "image life cycle deleted": Drift(
        "image", lambda a: a.call("ecr", "DeleteLifecyclePolicy", repositoryName=a.project.images["pytorch"].repository)
    ),
    "association deleted": Drift(
        "associations",
        lambda a: a.call("fsx", "DeleteDataRepositoryAssociation", AssociationId=_first_association(a)),
    ),
    "association exports nothing": Drift(
        "associations",
        lambda a: a.call(
            "fsx", "UpdateDataRepositoryAssociation", AssociationId=_first_association(a),
            S3={"AutoExportPolicy": {"Events": ["NEW"]}},
        ),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def mended(local_target: Target) -> Account:
    """An account in which everything is up; each test breaks one thing and mends it."""
    account = Account(local_target, new_project())
    account.up()
    return account


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS.keys())
def test_what_was_changed_by_hand_is_noticed_and_mended(drift: Drift, mended: Account) -> None:
    drift.change(mended)
    plan = mended.up()
    assert {action.stage for action in plan.actions} == {drift.stage}
    assert mended.plan().actions == ()


def test_every_stage_has_a_drift() -> None:
    """A new stage says what it notices. The stack's own drift is CloudFormation's to tell."""
    assert {stage.name for stage in REGISTRY} - {"prerequisites"} == {drift.stage for drift in DRIFTS.values()}


def test_a_teardown_waits_for_users_before_what_they_use(standing: Account) -> None:
    plan = stages.down(standing.project, standing.facts(contents=True))
    by_id = {action.id: action for action in plan.actions}
    deletions = {action.id for action in plan.actions if action.id.startswith("associations/")}
    assert deletions <= by_id["prerequisites/stack"].after
    assert deletions <= by_id["bucket/bucket"].after
    assert {action.kind for action in plan.actions} <= {Kind.DELETE, Kind.RUN, Kind.UPDATE}
    assert OUTPUT_VARIABLES  # the guide's names are checked above

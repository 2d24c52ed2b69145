"""Programs around a job go from the project's folder into its bucket, and a change of one is seen."""

from __future__ import annotations

from pathlib import Path

from pcinfra.aws import Target
from pcinfra.engine import Kind, Plan
from pcinfra.project.load import parse
from pcinfra.stages import REGISTRY, Health
from tests.account import Account
from tests.conftest import new_project

KEY = "scripts/bootstrap/hooks/train/prolog/fabric.sh"
PROJECT = "clusters:\n  train:\n    shape: cpu\n    hooks: {prolog: [fabric.sh]}\n"


def planned(account: Account) -> Plan:
    """What is to be done in the two stages concerned; the others would only take time."""
    plan = account.plan()
    return Plan(tuple(action for action in plan.actions if action.stage in ("bucket", "scripts")), plan.notes)


def test_a_hook_is_put_into_the_bucket_and_a_changed_one_again(local_target: Target, tmp_path: Path) -> None:
    program = tmp_path / "fabric.sh"
    program.write_text("#!/bin/bash\nexit 0\n")
    clusters = parse(PROJECT, str(tmp_path / "pcinfra.yaml")).clusters
    account = Account(local_target, new_project(clusters=clusters))
    account.run(planned(account))
    bucket = account.project.bucket_name(account.cloud.account)
    assert account.call("s3", "GetObject", Bucket=bucket, Key=KEY)["Body"].read() == program.read_bytes()
    assert planned(account).actions == ()

    program.write_text("#!/bin/bash\nexit 1\n")
    plan = planned(account)
    (action,) = plan.actions
    assert (action.kind, action.what) == (Kind.UPDATE, f"s3://{bucket}/{KEY}")
    (note,) = [note for note in plan.notes if "fabric.sh" in note]
    assert "cluster train, if it stands, keeps the prolog fabric.sh" in note
    assert "pcinfra cluster exec train -- sudo sh -c" in note
    account.run(plan)
    assert account.call("s3", "GetObject", Bucket=bucket, Key=KEY)["Body"].read() == program.read_bytes()
    (scripts,) = [stage for stage in REGISTRY if stage.name == "scripts"]
    assert {row.health for row in scripts.status(account.project, account.facts())} == {Health.OK}

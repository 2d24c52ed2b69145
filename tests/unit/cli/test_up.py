"""``pcinfra plan`` and ``pcinfra up``: plan files, exit codes and parts of a plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pcinfra.cli.up import plan, up
from pcinfra.errors import InputError, Refused, UsageError
from tests.account import Account
from tests.commands import run, session


def test_a_plan_file_is_carried_out_as_it_is(account: Account, tmp_path: Path) -> None:
    file = tmp_path / "monday.plan"
    status, shown = run(plan, account, "--out", str(file), "--exit-code", "--only", "image,bucket")
    assert status == 2
    assert "left out: " in shown
    run(up, account, str(file))
    assert run(plan, account, "--exit-code", "--only", "image", "--only", "bucket")[0] == 0
    assert {action.stage for action in account.plan().actions} == {"prerequisites", "scripts", "associations"}
    with pytest.raises(Refused, match="not any more: create bucket"):
        run(up, account, str(file))


def test_a_plan_file_is_refused_when_the_account_has_moved_on(account: Account, tmp_path: Path) -> None:
    file = tmp_path / "plan"
    run(plan, account, "--only", "bucket", "--out", str(file))
    account.call("s3", "CreateBucket", Bucket=account.project.bucket.name)
    with pytest.raises(Refused, match="not any more: create bucket"):
        run(up, account, str(file))
    assert account.facts()
    assert account.call("s3", "ListObjectsV2", Bucket=account.project.bucket.name)["KeyCount"] == 0


def test_a_plan_file_is_refused_when_the_project_has_changed(account: Account, tmp_path: Path) -> None:
    file = tmp_path / "plan"
    run(plan, account, "--only", "image", "--out", str(file))
    image = account.project.images["pytorch"].model_copy(update={"keep": 3})
    other = Account(account.target, account.project.model_copy(update={"images": {"pytorch": image}}))
    with pytest.raises(Refused, match="would write something else"):
        run(up, other, str(file))


def test_the_number_of_calls_at_a_time_is_said_to_up_too(account: Account) -> None:
    told = session(account)
    CliRunner().invoke(up, ["--jobs", "3", "--dry-run", "--only", "image"], obj=told, standalone_mode=False)
    assert told.jobs == 3


@pytest.mark.parametrize("text", ["", "no plan", "[]", "{}", '{"format": 1}', '{"format": 99}', "\x00"])
def test_what_is_no_plan_file_is_refused(account: Account, tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan"
    file.write_text(text)
    with pytest.raises(InputError, match="is not a plan file"):
        run(up, account, str(file))


def test_a_plan_file_of_another_project_or_edited_is_refused(account: Account, tmp_path: Path) -> None:
    file = tmp_path / "plan"
    run(plan, account, "--only", "image", "--out", str(file))
    made = json.loads(file.read_text())
    for change in ({"project": "other"}, {"account": "999999999999"}, {"digest": "0" * 64}, {"plan": None}):
        edited = {**made, **change, **({"digest": ""} if "plan" in change else {})}
        file.write_text(json.dumps(edited))
        with pytest.raises(Refused):
            run(up, account, str(file))


def test_a_part_that_cannot_stand_alone_says_what_it_needs(account: Account) -> None:
    with pytest.raises(UsageError, match=r"stage prerequisites; .*stage bucket") as caught:
        run(up, account, "--only", "associations")
    assert caught.value.hint == "--only prerequisites --only bucket --only associations"
    with pytest.raises(UsageError, match="stage bucket"):
        run(plan, account, "--skip", "bucket,prerequisites")
    with pytest.raises(UsageError, match="no stage 'imag'") as caught:
        run(plan, account, "--only", "imag")
    assert caught.value.hint == "image"
    with pytest.raises(UsageError, match="says itself"):
        run(up, account, "--only", "image", __file__)

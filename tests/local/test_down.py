"""``pcinfra down``: what goes, what stays, what is left, and a teardown that is killed."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path

import pytest

from pcinfra.cli.down import down
from pcinfra.errors import Refused, ResourceFailed
from pcinfra.stages.prerequisites import StackFacts
from tests.account import Account
from tests.commands import run
from tests.local.test_recovery import Folder, folder

__all__ = ["folder"]


def put_data(account: Account) -> None:
    """Leave a checkpoint in the bucket, and an image that nobody can build again."""
    account.call("s3", "PutObject", Bucket=account.project.bucket.name, Key="checkpoints/7", Body=b"7")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
                "config": {"mediaType": "x/y", "digest": "sha256:" + "a" * 64, "size": 1}}  # fmt: skip
    account.call(
        "ecr", "PutImage", repositoryName=account.project.images["pytorch"].repository, imageTag="by-hand",
        imageManifest=json.dumps(manifest), imageManifestMediaType=manifest["mediaType"],
    )  # fmt: skip


def test_data_stays_until_the_projects_name_is_typed(account: Account) -> None:
    account.up()
    put_data(account)
    shown = run(down, account, "--yes")[1]
    assert "is kept: it holds 1 object(s)" in shown
    assert "nothing else is left" in shown
    assert [residue.what for residue in account.left()] == ["repository", "bucket"]
    with pytest.raises(Refused, match="needs the project's name"):
        run(down, account, "--yes", "--with-data")
    run(down, account, "--yes", "--with-data", "--confirm", account.project.project)
    assert account.left() == []


def test_one_stage_goes_when_no_other_needs_it(account: Account) -> None:
    account.up()
    for needed in ("prerequisites", "bucket"):
        with pytest.raises(Refused, match=r"still needed by the stage .*associations"):
            run(down, account, "--stage", needed, "--yes")
    run(down, account, "--stage", "image", "--yes")
    assert {action.stage for action in account.plan().actions} == {"image"}
    run(down, account, "--stage", "associations", "--yes")
    run(down, account, "--stage", "bucket", "--yes")
    assert account.facts().of(StackFacts).stack
    run(down, account, "--yes")
    assert account.left() == []


def test_what_is_left_is_shown_with_its_price_and_swept(account: Account) -> None:
    tags = [{"Key": "pcinfra:project", "Value": account.project.project}]
    address = account.call("ec2", "AllocateAddress", Domain="vpc")["AllocationId"]
    zone = {"AvailabilityZone": "us-east-1a", "Size": 1}
    volume = account.call("ec2", "CreateVolume", **zone)["VolumeId"]
    account.call("ec2", "CreateTags", Resources=[address, volume], Tags=tags)
    name = f"nodes-{account.project.project}"
    account.call(
        "ec2", "CreateLaunchTemplate", LaunchTemplateName=name, LaunchTemplateData={"InstanceType": "m5.large"},
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": tags}],
    )  # fmt: skip
    group = f"/aws/lambda/pcluster-CleanupResources-{account.project.project}"
    account.call("logs", "CreateLogGroup", logGroupName=group, tags={"pcinfra:project": account.project.project})
    account.call("secretsmanager", "CreateSecret", Name=name, SecretString="x", Tags=tags)
    left = {residue.what: residue for residue in account.left()}
    assert sorted(left) == ["elastic address", "launch template", "log group", "secret", "volume"]
    assert left["elastic address"].remove == f"aws ec2 release-address --allocation-id {address}"
    with pytest.raises(ResourceFailed, match=r"5 thing\(s\) are left"):
        run(down, account, "--yes")
    with pytest.raises(ResourceFailed, match=r"2 thing\(s\) are left"):
        run(down, account, "--yes", "--sweep")
    assert sorted(residue.what for residue in account.left()) == ["secret", "volume"]
    account.call("secretsmanager", "DeleteSecret", SecretId=name, ForceDeleteWithoutRecovery=True)
    account.call("ec2", "DeleteVolume", VolumeId=volume)
    assert "nothing is left" in run(down, account, "--yes")[1]


def test_a_final_backup_that_is_wanted_is_kept_and_told(account: Account) -> None:
    openzfs = account.project.prerequisites.openzfs.model_copy(update={"final_backup": True})
    prerequisites = account.project.prerequisites.model_copy(update={"openzfs": openzfs})
    wanted = Account(account.target, account.project.model_copy(update={"prerequisites": prerequisites}))
    wanted.up()
    shown = run(down, wanted, "--yes")[1]
    assert "FSx backup" in shown
    assert "USD per GB-month" in shown
    assert "nothing else is left" in shown
    account.down()
    assert account.left() == []


@pytest.mark.slow
def test_a_teardown_killed_at_random_moments_is_continued(folder: Folder) -> None:
    folder.run("--local", "up")
    chance = random.Random(11)
    for _ in range(5):
        process = folder.begin("--local", "down", "--yes")
        time.sleep(chance.uniform(0.6, 3))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert "nothing is left" in folder.run("--local", "down", "--yes")
    assert folder.account().left() == []
    assert Path(folder.path / "pcinfra.yaml").exists()

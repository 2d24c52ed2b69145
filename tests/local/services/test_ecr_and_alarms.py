"""ECR's tokens and images, and composite alarms."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.local.services.asking import refusal
from tests.local.services.conftest import Client

ARN = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:"


def test_a_token_is_good_for_twelve_hours(client: Client) -> None:
    token = client("ecr").get_authorization_token()["authorizationData"][0]
    left = token["expiresAt"] - datetime.now(UTC)
    assert timedelta(hours=11) < left <= timedelta(hours=12)
    assert token["proxyEndpoint"] == "https://123456789012.dkr.ecr.us-east-1.amazonaws.com"


def test_images(client: Client) -> None:
    ecr, name = client("ecr"), f"images-{uuid4().hex[:8]}"
    unknown = {"repositoryName": name, "imageManifest": "{}", "imageTag": "v1"}
    assert refusal(ecr.put_image, **unknown)[0] == "RepositoryNotFoundException"
    ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
    for nonsense in ("", "{", "[]"):
        assert refusal(ecr.put_image, **{**unknown, "imageManifest": nonsense})[0] == "InvalidParameterException"
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": f"sha256:{'0' * 64}", "size": 2}
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [],
        }
    )
    digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
    request = {"repositoryName": name, "imageManifest": manifest}
    assert ecr.put_image(**request, imageTag="v1")["image"]["imageId"]["imageDigest"] == digest
    found = ecr.describe_images(repositoryName=name)["imageDetails"][0]
    assert (found["imageTags"], found["imageDigest"]) == (["v1"], digest)
    image = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "v1"}])["images"][0]
    assert image["imageManifest"] == manifest
    other = {**request, "imageManifest": manifest.replace("000", "111")}
    assert refusal(ecr.put_image, **other, imageTag="v1")[0] == "ImageTagAlreadyExistsException"
    assert ecr.put_image(**other, imageTag="v2")["image"]["imageId"]["imageDigest"] != digest
    assert refusal(ecr.delete_repository, repositoryName=name)[0] == "RepositoryNotEmptyException"
    ecr.delete_repository(repositoryName=name, force=True)


def test_composite_alarms(client: Client) -> None:
    watch, mark = client("cloudwatch"), uuid4().hex[:8]
    child, parent = f"child-{mark}", f"parent-{mark}"
    rule = {"AlarmName": parent, "AlarmRule": f'(ALARM("{child}") OR OK({ARN}{child}))'}
    code, message = refusal(watch.put_composite_alarm, **rule)
    assert code == "ValidationError"
    assert child in message
    watch.put_metric_alarm(
        AlarmName=child,
        MetricName="m",
        Namespace="n",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        Statistic="Sum",
    )
    watch.put_composite_alarm(**rule)
    assert watch.describe_alarms(AlarmNames=[parent]).get("CompositeAlarms", []) == []
    found = watch.describe_alarms(AlarmNames=[parent], AlarmTypes=["CompositeAlarm"])
    assert [alarm["AlarmRule"] for alarm in found["CompositeAlarms"]] == [rule["AlarmRule"]]
    watch.delete_alarms(AlarmNames=[parent, child])
    found = watch.describe_alarms(AlarmNamePrefix=parent, AlarmTypes=["CompositeAlarm"])
    assert found.get("CompositeAlarms", []) == []

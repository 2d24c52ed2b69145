"""The real pcluster against the local cloud: its validators, and a cluster from nothing to running and back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pcinfra.aws import Aws, Target
from pcinfra.clusters.facts import ClusterFacts, differences, find, find_all
from pcinfra.clusters.findings import Level
from pcinfra.clusters.inputs import ClusterInputs
from pcinfra.clusters.lifecycle import create_plan, delete_actions
from pcinfra.clusters.pcluster import Pcluster
from pcinfra.clusters.render import render
from pcinfra.clusters.standing import STANDING, reading
from pcinfra.doors import Doors
from pcinfra.engine import Event, Executor, Plan, Step, Threads
from pcinfra.errors import PlanFailed
from pcinfra.project import Cluster, Project, Queue
from pcinfra.shell import Subprocess
from tests.local.infrastructure import infrastructure

pytestmark = pytest.mark.slow

PROJECT = Project()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    from pcinfra.localcloud.process import LocalCloud

    local = LocalCloud(tmp_path_factory.mktemp("local"))
    endpoint = local.start()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # pcluster keeps its log there
        yield Target("us-east-1", endpoint.url, credentials=endpoint.credentials)
    local.stop()


@pytest.fixture(scope="module")
def doors(target: Target) -> Doors:
    return Doors(Aws(target), Subprocess(), target)


@pytest.fixture(scope="module")
def inputs(doors: Doors) -> ClusterInputs:
    return infrastructure(doors.cloud, PROJECT)


@pytest.fixture(scope="module")
def pcluster(doors: Doors) -> Pcluster:
    return Pcluster(doors.shell, doors.target)


def cluster(instance_type: str, system: str = "ubuntu2204", **values: Any) -> Cluster:
    queue = Queue.model_construct(**{**Queue().model_dump(), "instance_type": instance_type, **values})
    return Cluster.model_construct(**{**dict(Cluster()), "queues": (queue,), "os": system})


def run(doors: Doors, plan: Plan) -> tuple[dict[str, Any], list[Event]]:
    workers, events = Threads(4), list[Event]()
    try:
        return Executor(doors, workers, events.append, limit=300).run(plan), events
    finally:
        workers.close()


@pytest.mark.parametrize(
    ("instance_type", "system"),
    [
        ("p5.48xlarge", "ubuntu2204"),
        ("p5en.48xlarge", "ubuntu2404"),
        ("p4d.24xlarge", "alinux2023"),
        ("g5.12xlarge", "ubuntu2204"),
        ("c7i.large", "ubuntu2204"),
    ],
)
def test_pclusters_own_validators_have_nothing_against_it(
    instance_type: str, system: str, inputs: ClusterInputs, pcluster: Pcluster
) -> None:
    assert pcluster.dryrun("check", render("check", cluster(instance_type, system), inputs)) == []


def test_pclusters_own_validators_tell_every_error_at_once(inputs: ClusterInputs, pcluster: Pcluster) -> None:
    wrong = cluster("p5.48xlarge", name="default", min_nodes=3, max_nodes=2, capacity_type="CAPACITY_BLOCK")
    findings = pcluster.dryrun("check", render("check", wrong, inputs))
    checks = {finding.check for finding in findings if finding.level is Level.ERROR}
    assert len(checks) >= 3, findings
    assert "CapacityTypeValidator" in checks


def test_a_cluster_from_nothing_to_running_and_back(inputs: ClusterInputs, doors: Doors, pcluster: Pcluster) -> None:
    config = render("train", Cluster(), inputs)

    created, events = run(doors, create_plan(find(doors.cloud, "train", with_config=True), PROJECT.project, config))
    assert created["cluster/train"].status == "CREATE_COMPLETE"
    assert events[-1].step is Step.FINISHED

    facts = find(doors.cloud, "train", with_config=True)
    assert differences(facts.config, config) == ()
    assert create_plan(facts, PROJECT.project, config).actions == ()
    assert [stack.name for stack in find_all(doors.cloud, PROJECT.project)] == ["train"]

    described = pcluster.describe("train")
    assert (described.status, described.fleet_status) == ("CREATE_COMPLETE", "RUNNING")
    assert described.head_node
    assert described.head_node.instance_type == "m5.2xlarge"
    assert pcluster.statuses() == {"train": "CREATE_COMPLETE"}

    [standing] = run(doors, Plan((reading(PROJECT.project),)))[0][STANDING]
    assert standing.running == "1 head node, 2 compute nodes"

    run(doors, Plan(tuple(delete_actions(find_all(doors.cloud, PROJECT.project)))))
    assert find(doors.cloud, "train").stack is None
    assert left_in_bucket(doors, inputs) == [], "pcluster's own objects stay behind"
    assert run(doors, Plan(tuple(delete_actions([created["cluster/train"]]))))[0] == {"cluster/train/delete": None}


def test_two_creations_at_once_end_well_with_one_cluster(inputs: ClusterInputs, doors: Doors) -> None:
    plan = create_plan(ClusterFacts("twice"), PROJECT.project, render("twice", small(), inputs))
    with ThreadPoolExecutor(2) as both:
        results = [future.result()[0]["cluster/twice"] for future in [both.submit(run, doors, plan) for _ in range(2)]]
    assert results[0].id == results[1].id
    assert [stack.name for stack in find_all(doors.cloud, PROJECT.project)] == ["twice"]
    run(doors, Plan(tuple(delete_actions(results[:1]))))


def test_a_failed_creation_tells_its_cause_and_the_next_one_cleans_up(inputs: ClusterInputs, doors: Doors) -> None:
    config = render("broken", small(), inputs)
    taken = {"LaunchTemplateName": "broken-gpu-c7i-large"}  # pcluster gives this name to the queue's template
    doors.cloud.call("ec2", "CreateLaunchTemplate", **taken, LaunchTemplateData={"InstanceType": "c7i.large"})
    with pytest.raises(PlanFailed, match="AWS::EC2::LaunchTemplate"):
        run(doors, create_plan(ClusterFacts("broken"), PROJECT.project, config))

    facts = find(doors.cloud, "broken", with_config=True)
    assert facts.stack
    assert facts.stack.status == "CREATE_FAILED"
    doors.cloud.call("ec2", "DeleteLaunchTemplate", **taken)
    results, _ = run(doors, create_plan(facts, PROJECT.project, config))
    assert next(iter(results)) == "cluster/broken/delete"
    run(doors, Plan(tuple(delete_actions([results["cluster/broken"]]))))
    assert find_all(doors.cloud, PROJECT.project) == ()


def small() -> Cluster:
    return cluster("c7i.large", min_nodes=1, max_nodes=2)


def left_in_bucket(doors: Doors, inputs: ClusterInputs) -> list[str]:
    objects = doors.cloud.pages("s3", "ListObjectsV2", "Contents", Bucket=inputs.bucket, Prefix="parallelcluster/")
    return [item["Key"] for item in objects]


def test_only_pclusters_adapter_imports_pcluster_and_only_when_asked(tmp_path: Path) -> None:
    script = "import sys, pcinfra.clusters.lifecycle, pcinfra.clusters.validate, json\n"
    script += "print(json.dumps([m for m in sys.modules if m.split('.')[0] in ('pcluster', 'boto3', 'jinja2')]))"
    done = Subprocess().run([sys.executable, "-c", script], cwd=tmp_path).check()
    assert json.loads(done.stdout) == []

"""Every configuration of the corpus gets the verdict that it names; pcluster agrees, or the corpus says why not.

What pcluster says comes from its own schema and validators, run in one process on the local cloud.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pcinfra.aws import Aws, Target
from pcinfra.clusters.findings import Finding, errors
from pcinfra.clusters.inputs import ClusterInputs
from pcinfra.clusters.render import Rendered, rendered
from pcinfra.clusters.sources import Locator
from pcinfra.clusters.validate import against_account, validate
from pcinfra.errors import InputError
from pcinfra.project import Accounting, Cluster, HeadNodeSettings, Hooks, Imds, LoginNodes, Monitoring, Project, Queue
from pcinfra.project.document import parse as document
from pcinfra.project.load import parse
from pcinfra.shell import Subprocess
from tests.local.infrastructure import ZONE, infrastructure

pytestmark = pytest.mark.slow

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parents[1] / "corpus" / "clusters.yaml").read_text())
VERDICTS = Path(__file__).with_name("pcluster_verdicts.py")


@dataclass(frozen=True, slots=True)
class World:
    """An account with everything that the corpus speaks of."""

    cloud: Aws
    target: Target
    inputs: ClusterInputs
    names: dict[str, str]

    def file(self, case: dict[str, Any]) -> str:
        """Return the project file of a case."""
        text = yaml.safe_dump({"clusters": {"train": case["cluster"]}}, sort_keys=False)
        for name in sorted(self.names, key=len, reverse=True):
            text = text.replace(f"${name}", self.names[name])
        return text


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    from pcinfra.localcloud.process import LocalCloud

    local = LocalCloud(tmp_path_factory.mktemp("corpus"))
    endpoint = local.start()
    target = Target("us-east-1", endpoint.url, credentials=endpoint.credentials)
    cloud = Aws(target)
    inputs = infrastructure(cloud, Project())
    yield World(cloud, target, inputs, named(cloud, inputs))
    local.stop()


def named(cloud: Aws, inputs: ClusterInputs) -> dict[str, str]:
    """Make what the names of the corpus stand for."""
    secret = cloud.call("secretsmanager", "CreateSecret", Name="slurm", SecretString="x" * 20)["ARN"]
    group = cloud.call("ec2", "DescribeSecurityGroups", GroupIds=[inputs.security_group])["SecurityGroups"][0]
    plain = cloud.call("ec2", "CreateSecurityGroup", GroupName="plain", Description="plain", VpcId=group["VpcId"])
    return {
        "ODCR": reserved(cloud, ZONE),
        "ELSEWHERE": reserved(cloud, "us-east-1b"),
        "BLOCK": block(cloud, "p5.48xlarge", 2),
        "ULTRASERVER": block(cloud, "p6e-gb200.36xlarge", 18),
        "PART_OF_ONE": block(cloud, "p6e-gb200.36xlarge", 4),
        "SECRET": secret,
        "NO_SECRET": f"{secret[:-6]}AAAAAA",
        "PLAIN_GROUP": plain["GroupId"],
        "BUCKET": inputs.bucket,
    }


def reserved(cloud: Aws, zone: str) -> str:
    asked = {"InstanceType": "p4d.24xlarge", "InstancePlatform": "Linux/UNIX", "InstanceCount": 2}
    answer = cloud.call("ec2", "CreateCapacityReservation", AvailabilityZone=zone, **asked)
    return str(answer["CapacityReservation"]["CapacityReservationId"])


def block(cloud: Aws, instance_type: str, count: int) -> str:
    """Buy the first offer of instances for a day."""
    asked = {"InstanceType": instance_type, "InstanceCount": count, "CapacityDurationHours": 24}
    offers = cloud.call("ec2", "DescribeCapacityBlockOfferings", **asked)["CapacityBlockOfferings"]
    offer = next(offer for offer in offers if offer["AvailabilityZone"] == ZONE)
    bought = cloud.call("ec2", "PurchaseCapacityBlock", CapacityBlockOfferingId=offer["CapacityBlockOfferingId"],
                        InstancePlatform="Linux/UNIX")  # fmt: skip
    return str(bought["CapacityReservation"]["CapacityReservationId"])


def made(case: dict[str, Any], world: World) -> Rendered:
    """Render a case even when our own file would not be read: pcluster is asked about it too."""
    raw = yaml.safe_load(world.file(case))["clusters"]["train"]
    parts: dict[str, Any] = {**raw}
    sections = {"head_node": HeadNodeSettings, "login_nodes": LoginNodes, "accounting": Accounting, "hooks": Hooks,
                "imds": Imds, "monitoring": Monitoring}  # fmt: skip
    for key, kind in sections.items():
        if key in raw:
            parts[key] = loosely(kind, raw[key])
    if "queues" in raw:
        parts["queues"] = tuple(loosely(Queue, queue) for queue in raw["queues"])
    default = Cluster.model_validate({"shape": raw.get("shape", "gpu-efa")})
    return rendered("train", Cluster.model_construct(**{**dict(default), **parts}), world.inputs)


def loosely(kind: Any, values: dict[str, Any]) -> Any:
    return kind.model_construct(**{**dict(kind()), **values})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What we say of a case: the errors, and the key that the first is about."""

    errors: tuple[str, ...]
    where: str


def offline(case: dict[str, Any], world: World) -> Verdict:
    return judged(case, world, account=False)


def judged(case: dict[str, Any], world: World, *, account: bool) -> Verdict:
    text = world.file(case)
    try:
        cluster = parse(text).clusters["train"]
    except InputError as error:
        return Verdict(tuple(problem.why for problem in error.problems), error.problems[0].key)
    config = rendered("train", cluster, world.inputs)
    wrong = errors(validate("train", config.text, "us-east-1"))
    if account and not wrong:
        wrong = errors(against_account("train", config.text, world.cloud)) or pclusters(config.text, world)
    locator = Locator(document(text, "pcinfra.yaml"), "train", config.origins, config.text)
    where = locator.of(wrong[0].where, wrong[0].what, wrong[0].check).key if wrong else ""
    return Verdict(tuple(f"{f.check}: {f.what}" for f in wrong), where)


_SAID: dict[str, list[str]] = {}


def pclusters(text: str, world: World) -> list[Finding]:
    """Return pcluster's errors as findings, from the one run for the whole corpus."""
    said = _SAID.get(text)
    if said is None:
        said = _SAID[text] = ask({"it": text}, world)["it"]
    from pcinfra.clusters.findings import Level

    return [Finding(Level.ERROR, line.partition(": ")[0], "", line.partition(": ")[2]) for line in said]


def ask(texts: dict[str, str], world: World) -> dict[str, list[str]]:
    """Run pcluster's schema and validators over all ``texts`` in one process."""
    environment = {**os.environ, **world.target.environment(), "AWS_DEFAULT_REGION": "us-east-1"}
    done = Subprocess().run([sys.executable, str(VERDICTS)], stdin=json.dumps(texts), env=environment).check()
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def theirs(world: World) -> dict[str, list[str]]:
    """What pcluster says of every case that can be rendered, by name."""
    texts = {case["name"]: made(case, world).text for case in CASES if case.get("rendered", True)}
    found = ask(texts, world)
    _SAID.update({texts[name]: said for name, said in found.items()})
    return found


BLOCK_SIZES = """
import sys, yaml
from pcluster.schemas.cluster_schema import ClusterSchema
from pcluster.templates.cdk_builder_utils import process_ultraserver_capacity_block_sizes
config = ClusterSchema(cluster_name="check").load(yaml.safe_load(sys.stdin))
print(process_ultraserver_capacity_block_sizes(config.ultraserver_capacity_block_dict))
"""


def test_pcluster_makes_the_blocks_of_slurms_topology_from_the_ultraserver_itself(world: World) -> None:
    """What it writes into the head node's dna.json as p6egb200_block_sizes (pcluster 3.16.1, cluster_stack.py)."""
    case = next(case for case in CASES if case["name"] == "ultraserver")
    environment = {**os.environ, **world.target.environment(), "AWS_DEFAULT_REGION": "us-east-1"}
    argv = [sys.executable, "-W", "ignore", "-c", BLOCK_SIZES]
    done = Subprocess().run(argv, stdin=made(case, world).text, env=environment).check()
    assert done.stdout.strip() == "{'p6e-gb200': '18'}"


def test_the_corpus_is_large_and_names_each_case_once() -> None:
    assert sum(case["ours"] == "error" for case in CASES) >= 80
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert {bool(case.get("because")) for case in CASES if "pcluster" in case} == {True}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_verdict_is_as_named(case: dict[str, Any], world: World, theirs: dict[str, list[str]]) -> None:
    found = judged(case, world, account=True)
    assert bool(found.errors) == (case["ours"] == "error"), found.errors
    assert found.where.startswith(case.get("where", "")), (found.where, found.errors)
    without = offline(case, world)
    assert bool(without.errors) == (case.get("offline", case["ours"]) == "error"), without.errors


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_pcluster_agrees_or_it_is_said_why_not(case: dict[str, Any], theirs: dict[str, list[str]]) -> None:
    if case.get("rendered", True):
        said = theirs[case["name"]]
        assert bool(said) == (case.get("pcluster", case["ours"]) == "error"), said

"""Why a cluster failed, from its events and the logs of its nodes."""

from __future__ import annotations

from typing import Any

import pytest

from pcinfra.aws import Target
from pcinfra.clusters.diagnose import findings_in
from pcinfra.clusters.failure import Failure, failure_of
from pcinfra.clusters.known import CAUSES, matching
from pcinfra.clusters.streams import CUSTOM_ACTIONS, Follower, Stream, streams, tail
from pcinfra.doors import Doors
from pcinfra.errors import NotFound
from tests.unit.clusters.fakes import FakeCloud, FakeShell, answer, event

OURS = {"parallelcluster:cluster-name": "train", "pcinfra:project": "training"}
WAIT = "AWS::CloudFormation::WaitCondition"
SAID = "fetch_and_run - Failed to execute OnNodeConfigured script 1, return code: 3. Please check /var/log/cfn-init.log"
PROTECTED = "Cluster has been set to PROTECTED mode due to failures detected in static node provisioning: gpu-st-p5-1"


class Logs:
    """CloudWatch with some streams, by ``HOST.INSTANCE.LOG``."""

    def __init__(self, lines: dict[str, list[str]]) -> None:
        self.lines = lines

    def names(self, _: Any) -> dict[str, Any]:
        return {"logStreams": [{"logStreamName": name, "lastEventTimestamp": 1} for name in self.lines]}

    def events(self, asked: Any) -> dict[str, Any]:
        lines = self.lines[asked["logStreamName"]]
        start = int(asked.get("nextToken", "0"))
        rows = [{"timestamp": number, "message": text} for number, text in enumerate(lines)][start:]
        return {"events": rows, "nextForwardToken": str(len(lines))}


def failed(reason: str, lines: dict[str, list[str]], code: str) -> Failure:
    logs = Logs(lines)
    row = {**answer("train", "CREATE_FAILED", **OURS)}
    row["Parameters"] = [{"ParameterKey": "ClusterCWLogGroup", "ParameterValue": "/aws/parallelcluster/train-1"}]
    cloud = FakeCloud(
        {
            "DescribeStacks": {"Stacks": [row]},
            "DescribeStackEvents": {"StackEvents": [event("HeadNodeWaitCondition", "CREATE_FAILED", reason, WAIT)]},
            "DescribeLogStreams": logs.names,
            "GetLogEvents": logs.events,
        }
    )
    described = {
        "clusterName": "train", "clusterStatus": "CREATE_FAILED", "cloudFormationStackStatus": "CREATE_FAILED",
        "version": "3.16.1", "failures": [{"failureCode": code, "failureReason": "in words"}],
    }  # fmt: skip
    found = failure_of(Doors(cloud, FakeShell([(0, described)]), Target("us-east-1")), "train")
    assert found
    return found


def signal(reason: str) -> str:
    return f"WaitCondition received failed message: '{reason}' for uniqueId: i-0head"


def test_a_failed_custom_action_is_told_with_the_end_of_its_log_and_what_to_do() -> None:
    lines = {
        "ip-10-0-0-5.i-0head.cfn-init": ["setting up", "my-script: cannot reach license server", SAID, "done"],
        "ip-10-0-0-5.i-0head.slurmctld": ["error: unrelated"],
        "ip-10-0-0-9.i-0node.slurmd": ["error: unrelated too"],
    }
    text = str(failed(signal(SAID), lines, "OnNodeConfiguredExecutionFailure").error())
    assert "return code: 3" in text
    assert "OnNodeConfiguredExecutionFailure: in words" in text
    assert "on the head node, ip-10-0-0-5 (i-0head)" in text
    assert "| my-script: cannot reach license server" in text
    assert "unrelated" not in text
    assert "mend the script" in text
    assert "pcinfra cluster diagnose train" in text


def test_static_nodes_that_do_not_start_are_told_with_their_own_logs_first() -> None:
    lines = {
        "ip-10-0-0-5.i-0head.clustermgtd": ["ERROR: node failed"],
        "ip-10-0-0-9.i-0node.syslog": ["kernel: error of no matter", "pcinfra: error: /lustre is not mounted"],
        "ip-10-0-0-9.i-0node.slurmd": ["fine"],
    }
    found = failed(signal(PROTECTED), lines, "StaticNodeBootstrapFailure")
    assert [extract.stream.instance for extract in found.extracts] == ["i-0node", "i-0head"]
    assert found.extracts[0].lines == ("pcinfra: error: /lustre is not mounted",), "of the system's log only our own"
    assert found.node == "a compute node, ip-10-0-0-9 (i-0node)"
    assert [cause.id for cause in found.causes] == ["static-nodes", "lustre-client"]


def test_a_cluster_that_has_not_failed_has_no_failure() -> None:
    cloud = FakeCloud({"DescribeStacks": {"Stacks": [answer("train", **OURS)]}})
    assert failure_of(Doors(cloud, FakeShell(), Target("us-east-1")), "train") is None


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("(InsufficientInstanceCapacity) We currently do not have sufficient p5.48xlarge capacity", "capacity"),
        ("An error occurred (VcpuLimitExceeded) when calling RunInstances", "vcpu-limit"),
        ("InvalidCapacityReservationId.NotFound", "reservation-over"),
        ("ReservationCapacityExceeded", "reservation-full"),
        ("InsufficientFreeAddressesInSubnet", "addresses"),
        ("User is not authorized to perform: s3:GetObject", "denied"),
        ("An error occurred (404) when calling the HeadObject operation: Not Found", "download"),
        ("Failed to mount FSX. Please check", "lustre-client"),
        ("WaitCondition timed out. Received 0 conditions when expecting 1", "timeout"),
        ("No space left on device", "disk-full"),
        ("curl: (6) Could not resolve host: github.com", "network-out"),
        ("Cannot delete entity, must detach all policies first.", "delete-role"),
        ("resource sg-1 has a dependent object", "delete-network"),
        ("This AMI was created with xyz, but is trying to be used with", "ami"),
    ],
)
def test_known_causes_are_known(line: str, cause: str) -> None:
    assert matching([line])[0].id == cause


def test_an_ordinary_log_has_no_known_cause_and_every_cause_says_what_to_do() -> None:
    ordinary = "slurmctld: Running as primary controller\nlustre: mounted\nnetwork interface eth0 up\nroom left\n"
    assert matching([ordinary]) == []
    assert len({cause.id for cause in CAUSES}) == len(CAUSES)
    assert all(cause.means and cause.do.format(name="train") for cause in CAUSES)


def test_a_diagnosis_finds_causes_node_scripts_and_where_they_are() -> None:
    status = '{"status":"failed","role":"compute","node":"n1","reason":"no GPU"}'
    files = {
        "events.json": '[{"resource": "W", "status": "CREATE_FAILED", "reason": "WaitCondition timed out."}]',
        "logs/a/syslog.txt": f"x pcinfra: pcinfra-status {status}",
        "logs/b/slurmctld.txt": "error: No space left on device\nerror: No space left on device",
        "config.yaml": "comment: No space left on device, error",
    }
    found = findings_in(files, "train")
    assert [(f.check, f.where) for f in found] == [
        ("node-script", "logs/a/syslog.txt"),
        ("timeout", "events: W"),
        ("disk-full", "logs/b/slurmctld.txt"),
    ]
    assert "no GPU" in found[0].what


def test_hostile_logs_do_no_harm() -> None:
    files = {"logs/a/x.txt": "pcinfra-status {not json\npcinfra-status []\nerror \x00\x1b[2J", "events.json": "[]"}
    assert findings_in(files, "train") == []


def test_streams_are_named_by_host_instance_and_log_and_read_from_their_end() -> None:
    logs = Logs({"ip-1.i-1.slurmctld": [str(n) for n in range(9)], "odd-name": ["x"], "ip-1.i-1.a.b": ["y"]})
    cloud = FakeCloud({"DescribeLogStreams": logs.names, "GetLogEvents": logs.events})
    found = streams(cloud, "g")
    assert [(s.host, s.instance, s.log) for s in found] == [("ip-1", "i-1", "a.b"), ("ip-1", "i-1", "slurmctld")]
    assert [line.text for line in tail(cloud, "g", found[1], 3)] == ["6", "7", "8"]


def test_following_shows_each_line_once_and_streams_that_come_later() -> None:
    logs = Logs({"ip-1.i-1.cfn-init": ["1", "2", "3"]})
    cloud = FakeCloud({"DescribeLogStreams": logs.names, "GetLogEvents": logs.events})
    follower = Follower(cloud, "g", lambda stream: stream.log in CUSTOM_ACTIONS, 2)

    def texts() -> list[str]:
        return [line.text for _, line in follower.look()]

    assert texts() == ["2", "3"]
    assert texts() == []
    logs.lines["ip-1.i-1.cfn-init"].append("4")
    logs.lines["ip-2.i-2.cloud-init-output"] = ["5"]
    assert sorted(texts()) == ["4", "5"]


def test_a_group_that_is_not_there_yet_has_no_streams() -> None:
    def gone(_: object) -> dict[str, Any]:
        raise NotFound("no group", code="ResourceNotFoundException")

    assert streams(FakeCloud({"DescribeLogStreams": gone}), "g") == []
    assert tail(FakeCloud({"GetLogEvents": gone}), "g", Stream("h", "i", "l", "n"), 5) == []

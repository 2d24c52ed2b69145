"""A cluster's life through its commands: the real pcluster and a real Slurm, one cluster for all of it."""

from __future__ import annotations

import getpass
import io
import json
import os
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pcinfra.aws import Target
from pcinfra.cli.clusters import cluster as commands
from pcinfra.clusters.facts import find, instances
from pcinfra.clusters.logins import without
from pcinfra.clusters.pcluster import Pcluster
from pcinfra.errors import Refused, ResourceFailed, UsageError
from pcinfra.localcloud.slurm.sharedhost import free_ports
from pcinfra.project import Project
from tests.account import Account
from tests.commands import run
from tests.local.infrastructure import infrastructure
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

NAME, QUEUE = "life", "work"
FAILING = "#!/bin/bash\necho asking the licence server\necho no answer from it\nexit 3\n"


def project(name: str = NAME, most: int = 3, **changes: Any) -> Project:
    """Return the project with one cluster; ``most``: nodes of its queue."""
    queue = {"name": QUEUE, "instance_type": "c7i.large", "min_nodes": 1, "max_nodes": most}
    one = {"head_node": {"instance_type": "m5.xlarge"}, "queues": [queue], **changes}
    return Project.model_validate_json(json.dumps({"project": "life", "clusters": {name: one}}))


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account of a local cloud of this module's own, with what clusters stand on."""
    from pcinfra.localcloud.process import LocalCloud

    local = LocalCloud(tmp_path_factory.mktemp("local"))
    endpoint = local.start()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # pcluster keeps its log there
        made = Account(Target("us-east-1", endpoint.url, credentials=endpoint.credentials), project())
        _outputs(made)
        yield made
    local.stop()


def _outputs(account: Account) -> None:
    """A prerequisites stack that has made nothing, and tells of what there is."""
    inputs = infrastructure(account.cloud, account.project)
    outputs = {
        "PublicSubnet": inputs.public_subnet,
        "PrimaryPrivateSubnet": inputs.private_subnet,
        "SecurityGroup": inputs.security_group,
        "FSxLustreFilesystemId": inputs.lustre_id,
        "FSxORootVolumeId": inputs.openzfs_volume,
    }
    template = {
        "Resources": {"Nothing": {"Type": "AWS::CloudFormation::WaitConditionHandle"}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    name = account.project.prerequisites.stack
    account.call("cloudformation", "CreateStack", StackName=name, TemplateBody=json.dumps(template))


@pytest.fixture(scope="module")
def life(account: Account) -> Account:
    """The account with the cluster in it, running."""
    assert "life is ready" in told(account, "create", NAME)
    return account


def told(account: Account, *arguments: str, typed: str | None = None) -> str:
    status, text = run(commands, account, *arguments, typed=typed)
    assert status == 0, text
    return text


def shown(account: Account) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(told(account, "show", NAME, "--output", "json"))
    return found


def test_a_running_cluster_can_be_looked_into_from_every_side(life: Account, tmp_path: Path) -> None:
    found = shown(life)
    assert (found["status"], found["fleet_status"]) == ("CREATE_COMPLETE", "RUNNING")
    kinds = sorted((node["kind"], node["static"]) for node in found["nodes"])
    assert kinds == [("idle", True), ("off", False), ("off", False)]
    [listed] = json.loads(told(life, "list", "-o", "json"))
    assert (listed["nodes"], listed["fleet"]) == ({"idle": 1, "off": 2}, "RUNNING")
    assert listed["cost_per_hour"] == found["cost_per_hour"] > 0

    assert "slurmctld" in told(life, "logs", NAME)
    assert "Running as primary controller" in told(life, "logs", NAME, "slurmctld", "-n", "1000")
    assert "slurmd" in told(life, "logs", NAME, "slurmd", "--node", f"{QUEUE}-st-c7i-large-1", "-n", "1000")
    events = json.loads(told(life, "events", NAME, "-o", "json", "--limit", "1000"))
    assert {"HeadNode", NAME} <= {event["resource"] for event in events}
    assert len({event["stack"] for event in events}) > 1, "those of nested stacks too"
    assert "nothing has failed" in told(life, "events", NAME, "--failed")

    file = tmp_path / "d.tar.gz"
    answer = json.loads(told(life, "diagnose", NAME, "--file", str(file), "--output", "json"))
    assert answer == {"file": str(file), "findings": []}
    with tarfile.open(fileobj=io.BytesIO(file.read_bytes())) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"README.txt", "cluster.json", "config.yaml", "events.json", "head/sinfo.txt", "instances.json"} <= names
    assert any(name.endswith("/slurmctld.txt") for name in names)


def test_a_command_on_the_head_node_is_what_was_typed(life: Account) -> None:
    words = ["it's", "$HOME", "a\nb", "*", "", "-x", "--", "ü"]
    assert told(life, "exec", NAME, "printf", "%s|", *words) == "".join(f"{word}|" for word in words)
    assert told(life, "exec", NAME, "--", "cat", typed="one\ntwo") == "one\ntwo"
    assert told(life, "exec", "-n", NAME, "sinfo", "-h", "-o", "%R").strip() == QUEUE
    status, text = run(commands, life, "exec", "-n", NAME, "bash", "-c", "echo before; exit 7")
    assert (status, text) == (7, "before\n")
    big = told(life, "exec", "-n", NAME, "bash", "-c", "head -c 200000 /dev/urandom | base64 -w0; sleep 1; echo end")
    assert big.endswith("end\n")
    assert len(big) > 266_000
    assert told(life, "exec", "-n", NAME, "bash", "-c", "ls -d /tmp/.pcinfra-exec-* | wc -l") == "1\n", "only its own"
    with pytest.raises(UsageError, match="NUL"):
        run(commands, life, "exec", "-n", NAME, "echo", "a\0b")
    if os.geteuid() == 0:
        assert told(life, "exec", "-n", NAME, "id", "-un") == "ubuntu\n"


def test_sessions_are_opened_on_the_head_node(life: Account, tmp_path: Path) -> None:
    """By the command line itself, as a user with this project file and account has it."""
    file = tmp_path / "pcinfra.yaml"
    file.write_text(life.project.model_dump_json(include={"project": True, "clusters": True}, exclude_defaults=True))
    environment = {**os.environ, **life.target.environment()}
    command = [sys.executable, "-m", "pcinfra.cli.main", "-f", str(file), "cluster", "connect", NAME]

    def connected(argv: list[str], typed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, input=typed, capture_output=True, text=True, env=environment, timeout=PATIENCE)

    done = connected(command, "id -un; sinfo -h -o %R; exit 7")
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.splitlines() == ["ubuntu" if os.geteuid() == 0 else getpass.getuser(), QUEUE]
    done = connected([*command, "--ssh-config"], "")
    config = dict(line.strip().split(" ", 1) for line in done.stdout.splitlines())
    [port] = free_ports(1)
    proxy = shlex.split(config["ProxyCommand"].replace("%h:%p", f"{config['HostName']}:{port}"))
    serve = f"import socket; s = socket.create_server(('127.0.0.1', {port})); print('listens', flush=True); "
    serve += "c, _ = s.accept(); c.sendall(c.recv(9).upper())"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(f'exec python3 -c "{serve}"\n')
        server.stdin.close()
        assert server.stdout.readline() == "listens\n"
        done = connected(proxy, "the node")
        assert (done.stdout, done.stderr, done.returncode) == ("THE NODE", "", 0)


def test_a_change_is_made_in_the_way_that_it_needs(life: Account) -> None:
    larger = Account(life.target, project(most=4))
    plan = json.loads(told(larger, "update", NAME, "--dry-run", "-o", "json"))
    assert [change["needs"] for change in plan["changes"]] == ["nothing"]
    assert [action["id"] for action in plan["actions"]] == [f"cluster/{NAME}"]
    other = Account(life.target, project(head_node={"instance_type": "m5.2xlarge"}))
    with pytest.raises(Refused, match="needs a new one"):
        run(commands, other, "update", NAME, "--dry-run")

    job = told(life, "exec", "-n", NAME, "sbatch", "--parsable", "-p", QUEUE, "--wrap", "sleep 600").strip()
    until_running(life, job)
    smaller = Account(life.target, project(most=2))
    with pytest.raises(Refused, match="needs a yes"):
        run(commands, smaller, "update", NAME, "--running-jobs", "kill")
    assert [each["id"] for each in shown(life)["jobs"]] == [job], "nothing has happened to it"
    done = told(smaller, "update", NAME, "--running-jobs", "kill", "--yes")
    assert "loses" in done
    assert "is up to date" in done
    after = shown(smaller)
    assert (after["status"], after["fleet_status"], after["jobs"]) == ("UPDATE_COMPLETE", "RUNNING", [])
    assert len(after["nodes"]) == 2
    assert {queue["state"] for queue in after["queues"]} == {"up"}
    assert "nothing to do" in told(smaller, "update", NAME)

    told(life, "stop", NAME)
    assert json.loads(told(life, "list", "-o", "json"))[0]["fleet"] == "STOPPED"
    assert "nothing to do" in told(life, "stop", NAME)
    told(life, "update", NAME, "--yes")  # back to three nodes, while the fleet is stopped
    assert (shown(life)["fleet_status"], len(shown(life)["nodes"])) == ("STOPPED", 3)
    told(life, "start", NAME)
    assert {queue["state"] for queue in shown(life)["queues"]} == {"up"}


def test_login_nodes_go_and_come_back_for_a_change_that_needs_it(life: Account) -> None:
    with_one = Account(life.target, project(login_nodes={"count": 1, "gracetime_period": 3}))
    program = Pcluster(life.doors.shell, life.target)
    program.update(NAME, told(with_one, "render", NAME))  # an update that was interrupted as soon as it had begun
    assert "nothing to do" in told(with_one, "update", NAME, "--yes"), "after what was under way"
    other = {"count": 1, "gracetime_period": 3, "instance_type": "m5.2xlarge"}
    larger = Account(life.target, project(login_nodes=other))
    with pytest.raises(Refused, match="needs a yes"):
        run(commands, larger, "update", NAME)
    done = told(larger, "update", NAME, "--yes")
    assert "sessions on the login nodes" in done
    assert "is up to date" in done
    found = instances(life.cloud, [NAME], "LoginNode")
    assert [each["InstanceType"] for each in found] == ["m5.2xlarge"]

    # An update was interrupted, and the load balancer still drains one that EC2 has let go: pcluster counts it.
    (group,) = life.call("elbv2", "DescribeTargetGroups")["TargetGroups"]
    (head,) = instances(life.cloud, [NAME], "HeadNode")
    program.update(NAME, without(find(life.cloud, NAME, with_config=True).config))
    until(lambda: shown(life)["status"] == "UPDATE_COMPLETE")
    draining = {"TargetGroupArn": group["TargetGroupArn"], "Targets": [{"Id": head["InstanceId"]}]}
    life.call("elbv2", "RegisterTargets", **draining)
    plan = json.loads(told(life, "update", NAME, "--dry-run", "-o", "json"))
    assert [action["id"] for action in plan["actions"]] == [f"cluster/{NAME}/logins/gone", f"cluster/{NAME}"]
    life.call("elbv2", "DeregisterTargets", **draining)
    told(life, "update", NAME, "--yes")  # without any again


def until_running(account: Account, job: str) -> None:
    wait = f'until [ "$(squeue -h -j {job} -o %T)" = RUNNING ]; do sleep 0.2; done'
    told(account, "exec", "-n", NAME, "timeout", "60", "bash", "-c", wait)


def test_a_creation_that_fails_in_a_custom_action_tells_why_and_is_kept_until_the_next(account: Account) -> None:
    if os.geteuid() != 0:
        pytest.skip("custom actions run only where nodes are machines of their own")
    bucket = account.project.bucket_name(account.cloud.account)
    account.call("s3", "PutObject", Bucket=bucket, Key="scripts/licence.sh", Body=FAILING.encode())
    action = {"OnNodeConfigured": {"Script": f"s3://{bucket}/scripts/licence.sh", "Args": None}}
    ours = Account(account.target, project("broken", overrides={"HeadNode": {"CustomActions": action}}))

    with pytest.raises(ResourceFailed) as caught:
        run(commands, ours, "create", "broken")
    text = str(caught.value)
    assert "Failed to execute OnNodeConfigured script 1" in text
    assert "return code: 3" in text
    assert "OnNodeConfiguredExecutionFailure" in text
    assert "on the head node, ip-" in text
    assert "| no answer from it" in text
    assert "mend the script" in text
    assert "return code: 3" in told(ours, "show", "broken"), "it is kept"

    told(ours, "delete", "broken", "--yes")
    assert "does not exist" in told(ours, "delete", "broken", "--yes")

"""The life of the background process: started on demand, stopped cleanly, found again, killed, restarted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto", reason="the local cloud is not installed: pip install 'pcinfra[local]'")

from pcinfra.errors import PcinfraError
from pcinfra.localcloud import ACCOUNT, identity, snapshot
from pcinfra.localcloud.process import Endpoint, LocalCloud
from tests.local.slurm.machine import processes_about
from tests.waiting import until


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LocalCloud]:
    local = LocalCloud(tmp_path / "local")
    yield local
    local.stop()


def client(endpoint: Endpoint, service: str) -> Any:
    import boto3

    key_id, secret = endpoint.credentials
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=endpoint.url,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
    )


def fill(endpoint: Endpoint) -> str:
    """Make something in several services; return the file system's id."""
    s3, ec2 = client(endpoint, "s3"), client(endpoint, "ec2")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="small", Body=b"small")
    s3.put_object(Bucket="kept", Key="large", Body=b"L" * 300_000)
    client(endpoint, "ssm").put_parameter(Name="/kept/secret", Value="s3cret", Type="SecureString")
    client(endpoint, "dynamodb").create_table(
        TableName="kept",
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    made = client(endpoint, "fsx").create_file_system(
        FileSystemType="LUSTRE",
        StorageCapacity=1200,
        SubnetIds=[subnet],
        LustreConfiguration={"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 250},
    )
    return str(made["FileSystem"]["FileSystemId"])


def assert_filled(endpoint: Endpoint, file_system: str) -> None:
    s3 = client(endpoint, "s3")
    assert s3.get_object(Bucket="kept", Key="small")["Body"].read() == b"small"
    assert s3.get_object(Bucket="kept", Key="large")["Body"].read() == b"L" * 300_000
    parameter = client(endpoint, "ssm").get_parameter(Name="/kept/secret", WithDecryption=True)["Parameter"]
    assert parameter["Value"] == "s3cret"
    assert client(endpoint, "dynamodb").list_tables()["TableNames"] == ["kept"]
    found = client(endpoint, "fsx").describe_file_systems(FileSystemIds=[file_system])["FileSystems"][0]
    interfaces = client(endpoint, "ec2").describe_network_interfaces(NetworkInterfaceIds=found["NetworkInterfaceIds"])
    assert interfaces["NetworkInterfaces"][0]["SubnetId"] == found["SubnetIds"][0]
    assert client(endpoint, "s3").create_bucket(Bucket="kept")["ResponseMetadata"]["HTTPStatusCode"] == 200


def saved(cloud: LocalCloud, kind: str) -> int:
    return int(snapshot.read_header(cloud.directory / "state").get("resources", {}).get(kind, 0))


def wait_until_saved(cloud: LocalCloud, kind: str) -> None:
    until(lambda: saved(cloud, kind))


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not identity.started(pid))


def test_start_and_stop(cloud: LocalCloud) -> None:
    assert not cloud.status().running
    endpoint = cloud.ensure()
    assert client(endpoint, "sts").get_caller_identity()["Account"] == ACCOUNT == endpoint.account
    found = cloud.status()
    assert found.running
    assert found.url == endpoint.url
    assert cloud.ensure() == endpoint
    assert cloud.status().pid == found.pid
    assert os.getsid(found.pid) == found.pid  # its own session: a closed terminal does not reach it
    assert cloud.stop()
    assert identity.started(found.pid) is None
    assert not (cloud.directory / "server.json").exists()
    assert not cloud.status().running
    assert not cloud.stop()


def test_the_port_stays(cloud: LocalCloud) -> None:
    first = cloud.start().url
    cloud.stop()
    assert cloud.start().url == first
    cloud.stop()
    with socket.create_server(("127.0.0.1", int(first.rpartition(":")[2]))):
        other = cloud.start()
        assert other.url != first
        assert client(other, "sts").get_caller_identity()["Account"] == ACCOUNT


def test_what_it_holds_is_kept(cloud: LocalCloud) -> None:
    file_system = fill(cloud.ensure())
    running = cloud.status().resources
    assert running == {"buckets": 1, "file systems": 1, "tables": 1}
    cloud.stop()
    assert cloud.status().resources == running
    assert_filled(cloud.ensure(), file_system)
    cloud.stop()
    assert_filled(cloud.ensure(), file_system)


def test_kill_loses_a_second_at_most(cloud: LocalCloud) -> None:
    file_system = fill(cloud.ensure())
    wait_until_saved(cloud, "file systems")
    kill(cloud.status().pid)
    assert not cloud.status().running
    assert (cloud.directory / "server.json").exists()
    assert_filled(cloud.ensure(), file_system)


def test_keys_are_kept(cloud: LocalCloud) -> None:
    endpoint = cloud.ensure()
    kms = client(endpoint, "kms")
    key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
    request = {"KeyId": key, "Message": b"message", "SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256"}
    signature = kms.sign(**request)["Signature"]
    cloud.stop()
    kms = client(cloud.start(), "kms")
    assert kms.verify(**request, Signature=signature)["SignatureValid"]
    assert "not kept" not in cloud.log.read_text()


def test_a_deleted_object_takes_its_file_with_it(cloud: LocalCloud) -> None:
    endpoint = cloud.ensure()
    fill(endpoint)
    wait_until_saved(cloud, "buckets")
    client(endpoint, "s3").delete_object(Bucket="kept", Key="large")
    cloud.stop()
    assert list((cloud.directory / "objects").iterdir()) == []


def test_two_at_once_start_one(cloud: LocalCloud) -> None:
    others = [LocalCloud(cloud.directory) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        endpoints = list(pool.map(lambda each: each.ensure(), others))
    assert len(set(endpoints)) == 1
    answering = (cloud.directory / "server.log").read_text().count("answering at")
    assert answering == 1


def test_two_processes_at_once_start_one(cloud: LocalCloud) -> None:
    program = "import sys; from pathlib import Path; from pcinfra.localcloud.process import LocalCloud; "
    program += "print(LocalCloud(Path(sys.argv[1])).ensure().url)"
    command = [sys.executable, "-c", program, str(cloud.directory)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    urls = {process.communicate()[0] for process in running}
    assert urls == {f"{cloud.status().url}\n"}


def test_a_pid_file_of_another_process(cloud: LocalCloud) -> None:
    """After a reboot the pid may belong to anybody: here, to this test."""
    record = {"pid": os.getpid(), "started": "another boot:1", "port": 1, "since": 0.0}
    cloud.directory.mkdir()
    (cloud.directory / "server.json").write_text(json.dumps(record))
    assert not cloud.status().running
    assert not cloud.stop()
    assert identity.started(os.getpid())
    assert client(cloud.ensure(), "sts").get_caller_identity()["Account"] == ACCOUNT


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "port": null}', "\0\0"])
def test_a_damaged_pid_file(cloud: LocalCloud, content: str) -> None:
    cloud.directory.mkdir()
    (cloud.directory / "server.json").write_text(content)
    assert not cloud.status().running
    assert not cloud.stop()


@pytest.mark.parametrize("damage", [b"", b"nonsense", b'{"magic": "pcinfra-local-state"}\nx'])
def test_a_damaged_state(cloud: LocalCloud, damage: bytes) -> None:
    cloud.directory.mkdir()
    (cloud.directory / "state").write_bytes(damage)
    with pytest.raises(PcinfraError, match="damaged") as raised:
        cloud.ensure()
    assert raised.value.hint == "pcinfra local reset"
    cloud.reset()
    assert client(cloud.ensure(), "sts").get_caller_identity()["Account"] == ACCOUNT


def test_a_truncated_state(cloud: LocalCloud) -> None:
    fill(cloud.ensure())
    cloud.stop()
    path = cloud.directory / "state"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(PcinfraError, match="damaged"):
        cloud.start()


def test_a_state_of_another_version(cloud: LocalCloud) -> None:
    cloud.start()
    cloud.stop()
    path = cloud.directory / "state"
    snapshot.write(path, {"stamp": {"pcinfra": "0.0.1", "moto": "5.0.0", "python": "3.9"}}, b"anything")
    with pytest.raises(PcinfraError, match=r"moto 5\.0\.0") as raised:
        cloud.start()
    assert raised.value.hint == "pcinfra local reset"


def test_a_stop_says_that_the_state_could_not_be_saved(cloud: LocalCloud) -> None:
    client(cloud.start(), "s3").create_bucket(Bucket="kept")
    cloud.stop()
    endpoint, obstacle = cloud.start(), cloud.directory / "state.tmp"
    while not obstacle.is_dir():  # a snapshot can no more be written than to a full disk; one may be under way
        with contextlib.suppress(FileExistsError):
            obstacle.mkdir()
    client(endpoint, "s3").create_bucket(Bucket="lost")
    with pytest.raises(PcinfraError, match=r"stopped, but the state could not be saved: .*state\.tmp"):
        cloud.stop()
    assert not cloud.status().running
    obstacle.rmdir()
    kept = {bucket["Name"] for bucket in client(cloud.start(), "s3").list_buckets()["Buckets"]}
    assert kept == {"kept"}
    assert cloud.stop()


def test_reset_forgets_everything(cloud: LocalCloud) -> None:
    fill(cloud.ensure())
    cloud.reset()
    assert cloud.status().resources == {}
    assert [entry.name for entry in cloud.directory.iterdir()] == ["lock"]
    assert client(cloud.ensure(), "s3").list_buckets()["Buckets"] == []


def test_a_start_that_fails_shows_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "path" / "moto"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('moto is broken here')")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    with pytest.raises(PcinfraError, match="moto is broken here"):
        LocalCloud(tmp_path / "local").start()


def test_nothing_of_the_users_configuration_counts(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    endpoint = cloud.ensure()
    monkeypatch.undo()
    assert client(endpoint, "sts").get_caller_identity()["Account"] == ACCOUNT


def test_ctrl_c_in_the_terminal_does_not_reach_it(cloud: LocalCloud) -> None:
    endpoint = cloud.ensure()
    os.kill(cloud.status().pid, signal.SIGINT)
    os.kill(cloud.status().pid, signal.SIGHUP)
    assert client(endpoint, "sts").get_caller_identity()["Account"] == ACCOUNT


STARTER = """
import sys
from pathlib import Path
from pcinfra.localcloud.process import LocalCloud
print("begun", flush=True)
LocalCloud(Path(sys.argv[1])).start()
"""


@pytest.mark.parametrize("delay", [0.1, 0.4, 0.8])
def test_who_starts_it_is_killed_meanwhile(cloud: LocalCloud, delay: float) -> None:
    argv = [sys.executable, "-c", STARTER, str(cloud.directory)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as starter:
        assert starter.stdout
        starter.stdout.readline()
        time.sleep(delay)
        starter.kill()
    client(cloud.ensure(), "s3").list_buckets()
    assert len(servers(cloud.directory)) == 1
    assert cloud.stop()
    assert servers(cloud.directory) == []


def servers(directory: Path) -> list[str]:
    return [line for line in processes_about(directory) if "localcloud.server" in line]


def test_it_ends_when_its_directory_is_removed(cloud: LocalCloud) -> None:
    cloud.start()
    pid = cloud.status().pid
    shutil.rmtree(cloud.directory)
    until(lambda: not identity.started(pid))  # else it runs on, and nobody finds it
    assert not cloud.directory.exists(), "it has left its state where there was nothing any more"


def test_its_directory_is_for_its_user_alone(cloud: LocalCloud) -> None:
    cloud.start()
    cloud.stop()
    assert cloud.directory.stat().st_mode & 0o077 == 0
    assert (cloud.directory / "state").stat().st_mode & 0o077 == 0

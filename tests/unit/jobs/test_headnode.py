"""The head node through SSM: every way in which a command can end, and scripts that a real sh runs."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcinfra.errors import CloudError, CommandFailed, NotFound, PcinfraError, Unreachable
from pcinfra.jobs.headnode import SsmHeadNode, decoded, encoder, head_node_id, login_user, put_scripts, wrapped
from pcinfra.shell import Completed

INSTANCE = "i-0123456789abcdef0"


class ScriptedCloud:
    """An account that answers GetCommandInvocation with one answer after the other."""

    region, account = "us-east-1", "123456789012"

    def __init__(self, *answers: dict[str, Any] | Exception, sent: Exception | None = None) -> None:
        self.answers: Iterator[dict[str, Any] | Exception] = iter(answers)
        self.sent = sent
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        self.calls.append((operation, parameters))
        if operation == "SendCommand":
            if self.sent:
                raise self.sent
            return {"Command": {"CommandId": "c-1"}}
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pages(self, service: str, operation: str, key: str, /, **parameters: Any) -> list[Any]:
        raise NotImplementedError


def ended(details: str, status: int = -1, out: str = "", err: str = "") -> dict[str, Any]:
    state = {"Success": "Success", "Cancelled": "Cancelled", "Execution Timed Out": "TimedOut"}.get(details, "Failed")
    return {
        "Status": state,
        "StatusDetails": details,
        "ResponseCode": status,
        "StandardOutputContent": out,
        "StandardErrorContent": err,
    }


RUNS = {"Status": "InProgress", "StatusDetails": "InProgress", "ResponseCode": -1}
NOT_YET = CloudError("InvocationDoesNotExist", code="InvocationDoesNotExist")


def head(*answers: dict[str, Any] | Exception, sent: Exception | None = None) -> tuple[SsmHeadNode, ScriptedCloud]:
    cloud, now = ScriptedCloud(*answers, sent=sent), [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    return SsmHeadNode(cloud, INSTANCE, "ubuntu", sleep=sleep, clock=lambda: now[0]), cloud


def test_a_command_is_sent_once_and_asked_for_until_it_ends() -> None:
    node, cloud = head(NOT_YET, NOT_YET, RUNS, Unreachable("throttled"), RUNS, ended("Success", 0, "out", "err"))
    done = node.run("true", timeout=9)
    assert (done.status, done.stdout, done.stderr) == (0, "out", "err")
    sent = [parameters for operation, parameters in cloud.calls if operation == "SendCommand"]
    assert len(sent) == 1
    assert sent[0]["DocumentName"] == "AWS-RunShellScript"
    assert sent[0]["InstanceIds"] == [INSTANCE]
    assert sent[0]["Parameters"]["executionTimeout"] == ["9"]


def test_a_failing_script_is_an_answer() -> None:
    node, _ = head(ended("Failed", 3, "", "why"))
    done = node.run("exit 3")
    assert (done.status, done.stderr) == (3, "why")


@pytest.mark.parametrize("details", ["Undeliverable", "Delivery Timed Out", "DeliveryTimedOut", "Failed"])
def test_a_command_that_never_ran_means_a_silent_head_node(details: str) -> None:
    node, _ = head(ended(details))
    with pytest.raises(Unreachable, match="the head node does not answer") as caught:
        node.run("true")
    assert "describe-instance-information" in caught.value.hint


@pytest.mark.parametrize(("details", "status"), [("Execution Timed Out", 124), ("Cancelled", 143), ("Terminated", 143)])
def test_a_command_that_was_ended_says_so(details: str, status: int) -> None:
    node, _ = head(ended(details))
    with pytest.raises(CommandFailed) as caught:
        node.run("sleep 99", timeout=1)
    assert caught.value.status == status


def test_an_instance_that_ssm_does_not_know_is_a_silent_head_node() -> None:
    node, _ = head(sent=CloudError("InvalidInstanceId", code="InvalidInstanceId"))
    with pytest.raises(Unreachable, match="SSM does not know it"):
        node.run("true")


def test_an_invocation_that_never_appears_and_one_that_never_ends_are_not_waited_for_for_ever() -> None:
    node, _ = head(*[NOT_YET] * 500)
    with pytest.raises(CloudError, match="InvocationDoesNotExist"):
        node.run("true")
    node, cloud = head(*[RUNS] * 500)
    with pytest.raises(Unreachable, match="has not ended after"):
        node.run("true", timeout=60)
    assert len(cloud.calls) < 100


def test_a_script_that_does_not_fit_is_not_sent() -> None:
    noise = random.Random(1).randbytes(60_000).hex()
    node, cloud = head()
    with pytest.raises(PcinfraError, match="does not fit an SSM command"):
        node.run(f": {noise}")
    assert cloud.calls == []


def test_the_head_node_is_found_in_one_call() -> None:
    def answer(*states: str) -> dict[str, Any]:
        instances = [{"InstanceId": f"i-{state}", "State": {"Name": state}} for state in states]
        return {"Reservations": [{"Instances": [instance]} for instance in instances]}

    cloud = ScriptedCloud(answer("stopped", "running"))
    assert head_node_id(cloud, "train") == "i-running"
    assert len(cloud.calls) == 1
    with pytest.raises(NotFound, match="its head node is stopped"):
        head_node_id(ScriptedCloud(answer("stopped")), "train")
    with pytest.raises(NotFound, match="there is no such cluster") as caught:
        head_node_id(ScriptedCloud(answer()), "train")
    assert caught.value.hint == "pcinfra cluster create train"


@pytest.mark.parametrize(("system", "user"), [("ubuntu2204", "ubuntu"), ("alinux2023", "ec2-user"), ("plan9", "")])
def test_the_user_goes_by_the_operating_system(system: str, user: str) -> None:
    assert login_user(system) == user


def sh(script: str, runs: Path, user: str = "nobody", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run what SSM would be sent, as its agent does: sh, with the text in a file."""
    runs.parent.chmod(0o755)
    file = runs.parent / "_script.sh"
    file.write_text(wrapped(script, user, str(runs)))
    variables = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(["sh", str(file)], capture_output=True, text=True, check=False, env=variables)


@pytest.fixture
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runs directory that other users can reach, which pytest's own cannot."""
    top = Path(tempfile.mkdtemp(prefix="pcinfra-runs-"))
    yield top / "runs"
    shutil.rmtree(top)


def test_nothing_runs_as_root(runs: Path) -> None:
    done = sh("id -u; id -un; pwd", runs)
    uid, name, where = done.stdout.split()
    assert uid != "0"
    assert name == ("nobody" if os.geteuid() == 0 else name)
    assert where == str(runs)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be refused")
@pytest.mark.parametrize(("user", "why"), [("root", "jobs never run as root"), ("no-such", "has no user no-such")])
def test_a_user_that_is_root_or_unknown_is_refused(user: str, why: str, runs: Path) -> None:
    done = sh("echo ran", runs, user)
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr


def test_the_environment_is_clean_but_for_slurm(runs: Path) -> None:
    done = sh("env", runs, SLURM_CONF="/x/slurm.conf", SBATCH_EXCLUSIVE="1", AWS_SECRET="s")
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert names <= {
        "HOME", "USER", "LOGNAME", "SHELL", "LANG", "PATH", "SLURM_CONF", "PCINFRA_RUNS", "PWD", "SHLVL", "_",
    }  # fmt: skip
    assert "SLURM_CONF=/x/slurm.conf" in done.stdout


def test_the_exit_status_comes_back_and_nothing_eats_the_script(runs: Path) -> None:
    done = sh("cat; echo after; exit 44", runs)
    assert (done.returncode, done.stdout) == (44, "after\n")


def test_the_script_is_in_nobodys_arguments(runs: Path) -> None:
    secret = uuid.uuid4().hex
    pattern = f"{secret[:-1]}[{secret[-1]}]"  # does not match itself
    done = sh(f"secret={secret}; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '{pattern}'", runs)
    assert done.stdout.strip() == "0"


@settings(max_examples=15, deadline=None)
@given(data=st.binary(max_size=5000), offset=st.integers(0, 5000), limit=st.integers(100, 3000))
def test_bytes_come_back_as_they_are(data: bytes, offset: int, limit: int) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        script = f'{encoder()}\nencoded {limit} "$1" {offset}\necho ":$taken"'
        done = subprocess.run(["bash", "-c", script, "bash", file.name], capture_output=True, text=True, check=True)
    text, taken = done.stdout.strip().split(":")
    assert len(text) <= limit
    assert decoded(text) == data[offset : offset + int(taken)]
    assert int(taken) > 0 or offset >= len(data)


@pytest.mark.parametrize("size", [0, 1, 29_999, 30_000, 30_001, 100_000])
def test_files_of_any_size_are_put_whole_and_again(size: int, runs: Path) -> None:
    content = random.Random(size).randbytes(size)
    for _ in range(2):
        for script in put_scripts({"a dir/it's": content}):
            assert len(wrapped(script, "nobody")) < 48 * 1024
            assert sh(script, runs).returncode == 0
    assert (runs / "a dir" / "it's").read_bytes() == content
    assert [path.name for path in (runs / "a dir").iterdir()] == ["it's"]


@pytest.mark.skipif(Path("/lustre").exists(), reason="this machine has a Lustre")
def test_an_agent_without_rights_has_its_runs_at_home(runs: Path) -> None:
    """There is no Lustre on a machine whose agent is not root."""
    top = runs.parent
    top.chmod(0o777)
    (top / "script").write_text(wrapped("pwd; id -u", "ubuntu"))
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    environment = {"PATH": os.environ["PATH"], "HOME": str(top)}
    done = subprocess.run(
        [*drop, "sh", str(top / "script")], env=environment, capture_output=True, text=True, check=True
    )
    where, user = done.stdout.split()
    assert where == str(top / "runs")
    assert user != "0"


class HeldInFile:
    """Payloads that are held in a file, which curl fetches as it fetches anything."""

    def __init__(self, folder: Path, broken: bool = False) -> None:
        self.file = folder / "held"
        self.broken = broken

    @contextmanager
    def held(self, content: bytes) -> Iterator[str]:
        self.file.write_bytes(content[:-1] if self.broken else content)
        try:
            yield f"file://{self.file}"
        finally:
            self.file.unlink()


@pytest.mark.parametrize("broken", [False, True])
def test_what_is_large_is_fetched_and_comes_in_pieces_where_that_fails(broken: bool, tmp_path: Path) -> None:
    content = random.Random(4).randbytes(150_000)
    payloads = HeldInFile(tmp_path, broken)
    scripts: list[str] = []

    class Here(SsmHeadNode):
        def run(self, script: str, *, timeout: float = 60.0, quiet: float = 0.0) -> Completed:
            scripts.append(script)
            done = subprocess.run(["bash"], input=script, cwd=tmp_path, text=True, capture_output=True, check=False)
            return Completed(("bash",), done.returncode, done.stdout, done.stderr)

    node = Here(ScriptedCloud(), INSTANCE, "ubuntu", payloads=payloads)
    node.put({"a b/it's": content, "small": b"x"})
    assert (tmp_path / "a b" / "it's").read_bytes() == content
    assert (tmp_path / "small").read_bytes() == b"x"
    assert len(scripts) == (7 if broken else 2)
    assert not payloads.file.exists()

"""Sessions of Session Manager, our client against the local cloud: shells, ports, ssh, and what goes wrong."""

from __future__ import annotations

import fcntl
import hashlib
import http.server
import os
import pty
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pcinfra.localcloud.slurm.sharedhost import free_ports
from tests.local.services.asking import refusal
from tests.local.services.conftest import Client, client_of
from tests.waiting import PATIENCE, until, until_equal

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    command = [sys.executable, "-m", "tests.local.services.bashcloud", str(tmp_path_factory.mktemp("sessions"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        yield client_of(f"http://127.0.0.1:{process.stdout.readline().strip()}")
        process.communicate()


@pytest.fixture(scope="module")
def ssm(cloud: Client) -> Any:
    return cloud("ssm")


@pytest.fixture(scope="module")
def instance(cloud: Client) -> str:
    answer = cloud("ec2").run_instances(ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1)
    return str(answer["Instances"][0]["InstanceId"])


@pytest.fixture
def client(ssm: Any, instance: str) -> list[str]:
    """The command of a client, less what it is to open."""
    return [sys.executable, "-m", "tests.local.services.sessions", ssm.meta.endpoint_url, instance]


def free_port() -> int:
    return free_ports(1)[0]


class Screen:
    """A program in a terminal of 111 by 33."""

    def __init__(self, argv: list[str]) -> None:
        self._ours, self._theirs = pty.openpty()
        self.resize(111, 33)
        self.before = termios.tcgetattr(self._theirs)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv], cwd=ROOT, stdin=self._theirs, stdout=self._theirs, stderr=self._theirs
        )
        self.shown = b""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def wait_for(self, text: bytes) -> None:
        until(lambda: text in self._look())

    def end(self) -> int:
        """Wait for the program's end; return its status."""
        until(lambda: (self._look(), self.process.poll() is not None)[1])
        self._look()
        assert termios.tcgetattr(self._theirs) == self.before, "the terminal is as it was"
        os.close(self._ours)
        os.close(self._theirs)
        return int(self.process.returncode)

    def _look(self) -> bytes:
        while select.select([self._ours], [], [], 0)[0]:
            self.shown += os.read(self._ours, 4096)
        return self.shown


def test_the_api_tells_of_a_session_from_its_start_to_its_end(ssm: Any, instance: str) -> None:
    answer = ssm.start_session(Target=instance, Reason="a look")
    assert answer["StreamUrl"].startswith("ws://127.0.0.1:")
    assert answer["SessionId"] in answer["StreamUrl"]
    wanted = [{"key": "SessionId", "value": answer["SessionId"]}]
    row = ssm.describe_sessions(State="Active", Filters=wanted)["Sessions"][0]
    assert (row["Target"], row["Status"], row["Reason"]) == (instance, "Connecting", "a look")
    assert row["DocumentName"] == "SSM-SessionManagerRunShell"
    again = ssm.resume_session(SessionId=answer["SessionId"])
    assert again["TokenValue"] != answer["TokenValue"]
    ssm.terminate_session(SessionId=answer["SessionId"])
    assert ssm.describe_sessions(State="Active", Filters=wanted)["Sessions"] == []
    row = ssm.describe_sessions(State="History", Filters=wanted)["Sessions"][0]
    assert row["Status"] == "Terminated"
    assert row["EndDate"] >= row["StartDate"]
    assert "TokenValue" not in ssm.resume_session(SessionId=answer["SessionId"])


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"Target": "i-0123456789abcdef0"}, "TargetNotConnected"),
        ({"DocumentName": "no-such-document"}, "InvalidDocument"),
        ({"DocumentName": "AWS-StartInteractiveCommand"}, "InvalidParameters"),
        ({"DocumentName": "AWS-StartSSHSession", "Parameters": {"portNumber": ["70000"]}}, "InvalidParameters"),
        ({"DocumentName": "AWS-StartSSHSession", "Parameters": {"command": ["x"]}}, "InvalidParameters"),
        ({"DocumentName": "AWS-StartPortForwardingSessionToSocket"}, "NotImplemented"),
    ],
)
def test_what_cannot_be_started_is_refused(ssm: Any, instance: str, asked: dict[str, Any], code: str) -> None:
    assert refusal(ssm.start_session, **{"Target": instance, **asked})[0] == code


def test_a_shell_is_a_terminal_of_ones_own_size(client: list[str]) -> None:
    screen = Screen([*client, "command", "PS1='$ ' bash --norc -i"])
    screen.wait_for(b"$ ")
    screen.type(b"hostname; stty size\r")
    screen.wait_for(f"{socket.gethostname()}\r\n33 111\r\n".encode())
    screen.resize(99, 40)
    screen.type(b"until [ \"$(stty size)\" = '40 99' ]; do sleep 0.1; done; echo re''sized\r")
    screen.wait_for(b"resized\r\n")
    screen.type(b"sh -c 'echo st\"\"arted; exec sleep 1000'\r")
    screen.wait_for(b"started\r\n")
    screen.type(b"\x03echo interrupted-$?\r")
    screen.wait_for(b"interrupted-130")
    screen.type(b"exit 7\r")
    assert screen.end() == 7
    assert b"\x1b_" not in screen.shown


def test_a_shell_of_session_managers_own_ends_with_exit(client: list[str]) -> None:
    screen = Screen([*client, "shell"])
    screen.wait_for(b"$ ")
    screen.type(b"exit\r")
    assert screen.end() == 0


def test_the_terminal_is_restored_when_somebody_ends_the_client(ssm: Any, client: list[str]) -> None:
    screen = Screen([*client, "command", "echo here; sleep 1000"])
    screen.wait_for(b"here")
    screen.process.send_signal(signal.SIGTERM)
    assert screen.end() == 128 + signal.SIGTERM
    until_equal(lambda: ssm.describe_sessions(State="Active")["Sessions"], [])


def test_a_pipe_is_the_commands_input(client: list[str]) -> None:
    script = b'id -un; read answer; echo "<$answer>" >&2; exit 5\n\x03 no end'
    done = subprocess.run([*client, "piped", "bash"], input=script, capture_output=True, cwd=ROOT, timeout=PATIENCE)
    assert done.returncode == 5, done
    assert done.stdout.decode().splitlines()[1] == "<\x03 no end>", "as in a terminal, both outputs are one"


def test_much_goes_through_a_pipe_both_ways(client: list[str]) -> None:
    data = b"".join(b"%d a line with \xe2\x82\xac and \x1b[0m\n" % number for number in range(20_000))
    done = subprocess.run([*client, "piped", "cat"], input=data, capture_output=True, cwd=ROOT, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = (self.path.encode() * 100_000)[:400_000]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def pages() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
        return bytes(answer.read())


def test_a_port_takes_many_connections_at_once(client: list[str], pages: int) -> None:
    port = free_port()
    argv = [*client, "forward", str(port), str(pages)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stderr is not None
        assert f"127.0.0.1:{port} leads there now" in process.stderr.readline()
        taken = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE)
        assert f"port {port}: this port of this machine cannot be had: Address already in use" in taken.stderr
        idle = socket.create_connection(("127.0.0.1", port))
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda path: get(port, path), [f"/{letter}" for letter in "abcdefgh"]))
        assert found == [(f"/{letter}".encode() * 100_000)[:400_000] for letter in "abcdefgh"]
        idle.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


def test_a_port_where_nothing_listens_is_told(client: list[str]) -> None:
    port = free_port()
    argv = [*client, "forward", str(port), str(free_port())]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()
        with socket.create_connection(("127.0.0.1", port)) as end:
            assert end.recv(10) == b""
        assert "does anything listen" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM


def test_sshs_bytes_go_through(client: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        argv = [*client, "ssh", str(server.getsockname()[1])]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdin is not None
            end, _ = server.accept()
            with end, end.makefile("rb") as file:
                end.sendall(bytes(range(256)) * 1000)
                process.stdin.write(b"SSH-2.0-x\r\n\n\n\x00" + b"y" * 100_000)
                process.stdin.flush()
                assert file.read(100_014) == b"SSH-2.0-x\r\n\n\n\x00" + b"y" * 100_000
            out, _ = process.communicate(timeout=PATIENCE)
            assert out == bytes(range(256)) * 1000
            assert process.returncode == 0


@pytest.mark.root
@pytest.mark.skipif(
    not (os.geteuid() == 0 and Path("/usr/sbin/sshd").exists()), reason="no OpenSSH server, or not root"
)
def test_ssh_itself_goes_through(client: list[str], tmp_path: Path) -> None:
    port = free_port()
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / key)], check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    empty = Path("/run/sshd")  # where sshd locks itself in; it is not asked
    there = empty.exists()
    empty.mkdir(exist_ok=True)
    options = [f"HostKey={tmp_path}/host", f"AuthorizedKeysFile={tmp_path}/authorized", "StrictModes=no", "UsePAM=no"]
    options += [f"Port={port}", "ListenAddress=127.0.0.1", f"PidFile={tmp_path}/pid", "PermitRootLogin=yes"]
    flags = [word for option in options for word in ("-o", option)]
    with subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", "/dev/null", *flags], stderr=subprocess.DEVNULL) as server:
        until(lambda: listens(port))
        proxy = f"env PYTHONPATH={ROOT} {' '.join(client)} ssh %p"
        config = ["-F", "/dev/null", "-p", str(port), "-i", str(tmp_path / "user"), "-o", f"ProxyCommand={proxy}"]
        config += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
        argv = ["ssh", *config, "node", "wc -c; exit 6"]
        done = subprocess.run(argv, input=b"x" * 300_000, capture_output=True, timeout=PATIENCE)
        server.terminate()
    if not there:
        empty.rmdir()
    assert (done.returncode, done.stdout) == (6, b"300000\n"), done.stderr


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_one_error_says_what_is_wrong(ssm: Any, client: list[str]) -> None:
    argv = [*client[:-1], "i-0123456789abcdef0", "command", "true"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE)
    assert done.returncode == 99
    assert done.stderr.startswith("i-0123456789abcdef0: Session Manager does not reach it")
    argv = [*client, "ssh", str(free_port())]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE)
    assert done.returncode == 99
    assert "Unable to connect to specified port: Connection refused" in done.stderr


def test_a_session_that_somebody_terminates_says_so(ssm: Any, client: list[str], tmp_path: Path) -> None:
    screen = Screen([*client, "command", f"echo $$ >{tmp_path}/shell; echo here; sleep 1000"])
    screen.wait_for(b"here")
    for row in ssm.describe_sessions(State="Active")["Sessions"]:
        ssm.terminate_session(SessionId=row["SessionId"])
    assert screen.end() == 99
    assert b"the session was ended" in screen.shown
    shell = int((tmp_path / "shell").read_text())
    until(lambda: not Path(f"/proc/{shell}").exists())

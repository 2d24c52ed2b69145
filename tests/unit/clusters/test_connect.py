"""Ways into the head node: what is run, and what ssh reads."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.aws import Target
from pcinfra.clusters import connect
from pcinfra.clusters.connect import Forward
from pcinfra.errors import MissingTool, UsageError
from pcinfra.sessions import plugin
from pcinfra.shell import attach
from tests.unit.clusters.fakes import FakeShell

TARGET = Target("eu-west-1", profile="team one")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdQZ83z5o/5DDQwbGQbsm0Kfq404IthysiZRufOBKhi me@laptop it's mine"


def test_a_shell_is_opened_as_the_clusters_user() -> None:
    argv = plugin.command(TARGET, connect.request("i-1", "ubuntu"))
    assert argv[:7] == ["aws", "ssm", "start-session", "--region", "eu-west-1", "--profile", "team one"]
    assert argv[argv.index("--target") + 1] == "i-1"
    assert json.loads(argv[-1]) == {"command": ["sudo -i -u ubuntu"]}
    assert plugin.command(TARGET, connect.request("i-1", ""))[-2:] == ["--target", "i-1"], "whoever Session Manager is"


@pytest.mark.parametrize(
    ("text", "document", "values"),
    [
        ("8888:8889", "AWS-StartPortForwardingSession", {"portNumber": ["8889"], "localPortNumber": ["8888"]}),
        ("3306:db.x:3307", "AWS-StartPortForwardingSessionToRemoteHost",
         {"portNumber": ["3307"], "localPortNumber": ["3306"], "host": ["db.x"]}),
    ],
)  # fmt: skip
def test_a_port_is_forwarded(text: str, document: str, values: dict[str, list[str]]) -> None:
    request = connect.request("i-1", "ubuntu", Forward.parse(text))
    assert request.call() == {"Target": "i-1", "DocumentName": document, "Parameters": values}
    argv = plugin.command(TARGET, request)
    assert argv[argv.index("--document-name") + 1] == document
    assert json.loads(argv[-1]) == values


@given(st.text(max_size=30))
def test_no_text_becomes_a_forward_that_it_is_not(text: str) -> None:
    try:
        found = Forward.parse(text)
    except UsageError:
        return
    assert text in (f"{found.local}:{found.port}", f"{found.local}:{found.host}:{found.port}") or "0" in text


@pytest.mark.parametrize("text", ["", "8888", "0:1", "1:65536", "a:b", "1:h;x:2", "1:2:3:4", "1: 2", "1:$(x):2"])
def test_what_is_no_forward_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="LOCAL:PORT"):
        Forward.parse(text)


def test_the_plugin_is_used_where_it_and_the_command_line_are_installed() -> None:
    assert not plugin.installed(FakeShell(programs=("aws",)))
    assert not plugin.installed(FakeShell(programs=(plugin.PLUGIN,)))
    assert plugin.installed(FakeShell(programs=("aws", plugin.PLUGIN)))


def test_ssh_reads_the_configuration_as_it_is_meant(tmp_path: Path) -> None:
    file = tmp_path / "config"
    proxy = ["/opt/my tools/pcinfra", "-f", "/home/me/50%/pcinfra.yaml", "cluster", "connect", "train", "--stdio"]
    file.write_text(connect.ssh_config(proxy, "train", "i-1", "ubuntu", "/home/me/.ssh/my key"))
    done = subprocess.run(["ssh", "-G", "-F", str(file), "train"], capture_output=True, text=True, check=True)
    found = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    assert (found["hostname"], found["user"], found["identityfile"]) == ("i-1", "ubuntu", "/home/me/.ssh/my key")
    words = [word.replace("%%", "%") for word in shlex.split(found["proxycommand"])]
    assert words == [*proxy, "%h:%p"], "the port is ssh's to fill in"


def test_what_ssh_fills_in_is_a_session() -> None:
    request = connect.destination("i-0123456789abcdef0:2222")
    assert request.call() == {
        "Target": "i-0123456789abcdef0",
        "DocumentName": "AWS-StartSSHSession",
        "Parameters": {"portNumber": ["2222"]},
    }


@pytest.mark.parametrize("text", ["", "22", "i-1:22", "i-0123456789abcdef0:0", "i-0123456789abcdef0:22;x", "h:22"])
def test_what_ssh_never_fills_in_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="INSTANCE:PORT"):
        connect.destination(text)


def test_a_key_is_let_in_once(tmp_path: Path) -> None:
    script = connect.authorizing(f"{KEY}\n")
    for _ in range(2):
        subprocess.run(["bash", "-c", script], env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, check=True)
    file = tmp_path / ".ssh" / "authorized_keys"
    assert file.read_text() == f"{KEY}\n"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text", ["", "hello", f"{KEY}\n{KEY}", "-----BEGIN OPENSSH PRIVATE KEY-----\nx", "ssh-ed25519 $(x)"]
)
def test_what_is_no_public_key_is_let_in_by_nobody(text: str) -> None:
    with pytest.raises(UsageError, match="public key"):
        connect.authorizing(text)


def test_a_program_on_our_terminal_gets_its_words_and_gives_its_status(tmp_path: Path) -> None:
    program = tmp_path / "aws"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >{shlex.quote(str(tmp_path))}/words; exit 7\n')
    program.chmod(0o755)
    assert attach([str(program), "a b", "$HOME"]) == 7
    assert (tmp_path / "words").read_text() == "a b|$HOME|"
    with pytest.raises(MissingTool):
        attach([str(tmp_path / "none")])

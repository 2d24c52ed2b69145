from __future__ import annotations

import os
from pathlib import Path

import pytest

from pcinfra.localcloud.slurm import accounts
from pcinfra.localcloud.slurm.spec import Spec
from tests.local.slurm.clusters import config, spec_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root's nodes have accounts of their own")

PASSWD = """root:x:0:0:root:/root:/bin/bash
slurm:x:64030:64030::/nonexistent:/usr/sbin/nologin
alice:x:1000:1000:Alice:/home/alice:/bin/bash
bob:x:1001:1001::/home/bob:/bin/bash
ubuntu:x:1234:1234::/home/other:/bin/sh
+nis::::::
broken line
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """An /etc of a machine with people and secrets."""
    etc = tmp_path / "host"
    (etc / "ssl" / "private").mkdir(parents=True)
    (etc / "ssl" / "private" / "key.pem").write_text("secret")
    (etc / "ssl" / "openssl.cnf").write_text("x")
    (etc / "ssh").mkdir()
    (etc / "ssh" / "ssh_host_rsa_key").write_text("secret")
    (etc / "passwd").write_text(PASSWD)
    (etc / "group").write_text("root:x:0:\nusers:x:100:alice\nalice:x:1000:\n")
    (etc / "shadow").write_text("alice:$6$secret:1::::::\n")
    (etc / "hosts").write_text("1.2.3.4 elsewhere\n")
    os.mkfifo(etc / "pipe")
    return etc


@pytest.fixture
def spec() -> Spec:
    return spec_of(config())


def made(tmp_path: Path, host: Path, spec: Spec) -> Path:
    etc = tmp_path / "etc"
    etc.mkdir(exist_ok=True)
    accounts.make_etc(etc, spec, 1000, host)
    return etc


def test_the_clusters_user_takes_the_place_of_people(tmp_path: Path, host: Path, spec: Spec) -> None:
    lines = (made(tmp_path, host, spec) / "passwd").read_text().splitlines()
    assert [line.split(":")[0] for line in lines] == ["root", "slurm", "ubuntu"]
    assert lines[-1] == "ubuntu:x:1000:1000::/home/ubuntu:/bin/bash"


def test_no_secret_is_copied(tmp_path: Path, host: Path, spec: Spec) -> None:
    etc = made(tmp_path, host, spec)
    files = [path for path in etc.rglob("*") if path.is_file()]
    assert not any(b"secret" in path.read_bytes() for path in files)
    assert (etc / "ssl" / "openssl.cnf").exists()


def test_names_are_the_clusters(tmp_path: Path, host: Path, spec: Spec) -> None:
    hosts = (made(tmp_path, host, spec) / "hosts").read_text()
    assert "elsewhere" not in hosts
    assert "10.1.0.11 gpu-st-p5-2\n" in hosts


def test_the_munge_key_is_read_by_its_owner_alone_and_stays(tmp_path: Path, host: Path, spec: Spec) -> None:
    key = made(tmp_path, host, spec) / "munge" / "munge.key"
    first = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700
    assert (made(tmp_path, host, spec) / "munge" / "munge.key").read_bytes() == first


def test_what_users_changed_is_kept(tmp_path: Path, host: Path, spec: Spec) -> None:
    etc = made(tmp_path, host, spec)
    (etc / "enroot.conf").write_text("mine")
    (etc / "ssl" / "openssl.cnf").write_text("mine")
    made(tmp_path, host, spec)
    assert (etc / "enroot.conf").read_text() == (etc / "ssl" / "openssl.cnf").read_text() == "mine"


def test_variables_reach_a_shell_whole(tmp_path: Path) -> None:
    import subprocess

    value = "a'b\"c $(touch x) `id` \\ é"
    script = accounts.exports({"HOSTILE": value}) + 'printf %s "$HOSTILE"'
    answer = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert answer.stdout == value
    assert list(tmp_path.iterdir()) == []

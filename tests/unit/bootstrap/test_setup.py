"""The node scripts, run for real in a scratch root, with stubs for what only a node of a cluster has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pcinfra import assets
from tests.unit.bootstrap.node import ACCOUNT, COMPUTE, HEAD, HOOK, Node, mode, program, status

BOTH = pytest.mark.parametrize("script", [HEAD, COMPUTE], ids=["head", "compute"])


@BOTH
def test_second_run_changes_nothing(node: Node, script: Path) -> None:
    first = node.run(script, *ACCOUNT)
    assert first.returncode == 0, first.stderr
    tree, calls = node.tree(), node.calls()
    second = node.run(script, *ACCOUNT)
    assert second.returncode == 0, second.stderr
    assert node.tree() == tree
    assert node.calls() == calls
    assert status(second)["status"] == "ok"
    assert "wrote" not in second.stderr
    assert "made" not in second.stderr


@BOTH
def test_sets_enroot_up_from_the_sample(node: Node, script: Path) -> None:
    assert node.run(script, *ACCOUNT).returncode == 0
    conf = options(node)
    assert conf.pop("ENROOT_CONFIG_PATH") == "/etc/enroot/config"
    assert conf.pop("ENROOT_ROOTFS_WRITABLE") == "yes"
    assert conf.pop("ENROOT_RUNTIME_PATH") == "/run/enroot/user-$(id -u)"
    assert conf.pop("#ENROOT_TEMP_PATH") == "${TMPDIR:-/tmp}"
    assert conf == {
        "ENROOT_CACHE_PATH": "/var/enroot/cache/group-$(id -g)",
        "ENROOT_DATA_PATH": "/var/enroot/data/user-$(id -u)",  # not /run, which is memory
        "ENROOT_TEMP_PATH": "/var/enroot/tmp",
    }
    assert mode(node.root / "var/enroot/cache") == 0o1777
    assert mode(node.root / "run/pyxis") == 0o1777


def options(node: Node) -> dict[str, str]:
    pairs = [line.split(maxsplit=1) for line in node.read("etc/enroot/enroot.conf").splitlines()]
    return {pair[0]: pair[1] for pair in pairs}


@BOTH
def test_run_directories_survive_a_reboot(node: Node, script: Path) -> None:
    assert node.run(script, *ACCOUNT).returncode == 0
    lines = [line.split() for line in node.read("etc/tmpfiles.d/pcinfra-containers.conf").splitlines()]
    assert [line[:3] for line in lines] == [
        ["d", "/run/enroot", "1777"],
        ["d", "/run/pyxis", "1777"],
    ]


@BOTH
def test_containers_use_the_instances_own_disks(node: Node, script: Path) -> None:
    node.mounted("/lustre", "/nvme")
    assert node.run(script, *ACCOUNT, "--scratch", "/nvme").returncode == 0
    conf = options(node)
    assert conf["ENROOT_CACHE_PATH"] == "/nvme/enroot/cache/group-$(id -g)"
    assert conf["ENROOT_DATA_PATH"] == "/nvme/enroot/data/user-$(id -u)"
    assert conf["ENROOT_TEMP_PATH"] == "/nvme/enroot/tmp"
    assert conf["ENROOT_RUNTIME_PATH"] == "/run/enroot/user-$(id -u)"
    for name in ("cache", "data", "tmp"):
        assert mode(node.root / "nvme/enroot" / name) == 0o1777


@pytest.mark.parametrize(
    ("arguments", "host", "region"),
    [
        (ACCOUNT, "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1"),
        (("--account", "123456789012"), "123456789012.dkr.ecr.us-east-2.amazonaws.com", "us-east-2"),
        ((), "210987654321.dkr.ecr.us-east-2.amazonaws.com", "us-east-2"),
        (
            ("--account", "123456789012", "--region", "cn-north-1"),
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "cn-north-1",
        ),
        (
            ("--registry", "111122223333.dkr.ecr.ap-northeast-2.amazonaws.com"),
            "111122223333.dkr.ecr.ap-northeast-2.amazonaws.com",
            "ap-northeast-2",
        ),
    ],
    ids=["flags", "region from the instance", "all from the instance", "china", "registry"],
)
def test_registry_password_is_a_command(node: Node, arguments: tuple[str, ...], host: str, region: str) -> None:
    identity = '{\n  "accountId" : "210987654321",\n  "region" : "us-east-2",\n  "version" : "2017-09-30"\n}\n'
    (node.state / "identity").write_text(identity)
    done = node.run(COMPUTE, *arguments)
    assert done.returncode == 0, done.stderr
    password = f"$({node.stubs}/aws ecr get-login-password --region {region})"
    assert node.read("etc/enroot/config/.credentials") == f"machine {host} login AWS password {password}\n"


@BOTH
def test_hooks_find_scontrol(node: Node, script: Path) -> None:
    assert node.run(script, *ACCOUNT).returncode == 0
    hook = node.root / "etc/enroot/hooks.d/50-slurm-pytorch.sh"
    lines = hook.read_text().splitlines()
    assert lines[:2] == ["#! /usr/bin/env bash", 'export PATH="/opt/slurm/bin:${PATH:-/usr/bin:/bin}"']
    assert lines[2:] == HOOK.splitlines()[1:]
    assert mode(hook) == 0o755


def test_head_switches_pyxis_on(node: Node) -> None:
    assert node.run(HEAD, *ACCOUNT).returncode == 0
    assert "spank_pyxis.so" in node.read("opt/slurm/etc/plugstack.conf.d/pyxis.conf")
    assert node.read("opt/slurm/etc/plugstack.conf") == "include /opt/slurm/etc/plugstack.conf.d/*\n"
    assert node.calls() == ["scontrol ping", "scontrol reconfigure"]


def test_head_keeps_the_plugins_that_are_there(node: Node) -> None:
    node.add("opt/slurm/etc/plugstack.conf", "optional /opt/site/other.so\n")
    assert node.run(HEAD, *ACCOUNT).returncode == 0
    stack = "optional /opt/site/other.so\ninclude /opt/slurm/etc/plugstack.conf.d/*\n"
    assert node.read("opt/slurm/etc/plugstack.conf") == stack


def test_head_does_not_need_slurmctld(node: Node) -> None:
    program(node.root / "opt/slurm/bin/scontrol", "exit 1")
    done = node.run(HEAD, *ACCOUNT)
    assert done.returncode == 0
    assert "slurmctld does not run yet" in done.stderr


def test_head_opens_what_the_associations_made_and_makes_nothing(node: Node) -> None:
    (node.root / "lustre/results").rmdir()
    done = node.run(HEAD, *ACCOUNT)
    assert done.returncode == 0
    assert mode(node.root / "lustre/checkpoints") == 0o1777
    assert mode(node.root / "lustre/logs") == 0o1777
    assert mode(node.root / "lustre/data") == 0o755
    assert not (node.root / "lustre/results").exists()
    assert "/lustre/results is not there" in done.stderr


HOOKS = ("--prolog", "s3://bucket/a/check.sh", "--prolog", "s3://bucket/b.sh", "--epilog", "s3://bucket/check.sh")
FETCH = """\
case "$1 $2" in
  "s3 cp") shift 2; while [[ $1 == --* ]]; do [[ $1 == --region ]] && shift; shift; done
    [[ -f $STATE/s3/${1##s3://} ]] && cp "$STATE/s3/${1##s3://}" "$2" ;;
  *) exit 1 ;;
esac"""


def objects(node: Node, **texts: str) -> None:
    node.fake("aws", FETCH)
    for name, text in texts.items():
        file = node.state / "s3/bucket" / name.replace("__", "/").replace("_sh", ".sh")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_head_installs_the_projects_own_programs_once(node: Node) -> None:
    objects(node, a__check_sh="#!/bin/sh\nexit 3\n", b_sh="#!/bin/sh\n\n", check_sh="#!/bin/sh\ntrue\n")
    assert node.run(HEAD, *ACCOUNT, *HOOKS).returncode == 0
    before, after = node.root / "opt/slurm/etc/scripts/prolog.d", node.root / "opt/slurm/etc/scripts/epilog.d"
    own = {path.name for path in before.iterdir()}
    assert own == {"50_pcinfra_gpu_health", "60_check.sh", "60_b.sh"}
    assert {path.name for path in after.iterdir()} == {"50_pcinfra_unhealthy", "60_check.sh"}
    assert (before / "60_check.sh").read_text() == "#!/bin/sh\nexit 3\n"
    assert mode(before / "60_check.sh") == 0o755
    assert subprocess.run([before / "60_check.sh"], check=False).returncode == 3
    tree = node.tree()
    assert node.run(HEAD, *ACCOUNT, *HOOKS).returncode == 0
    assert node.tree() == tree


@pytest.mark.parametrize(
    ("text", "reason"), [(None, "could not be fetched"), ("<html>", "is not a program"), ("", "is not a program")]
)
def test_a_program_that_is_none_fails_the_head_node(node: Node, text: str | None, reason: str) -> None:
    objects(node, **({} if text is None else {"b_sh": text}))
    done = node.run(HEAD, *ACCOUNT, "--prolog", "s3://bucket/b.sh")
    assert done.returncode == 1
    assert reason in status(done)["reason"]
    assert not (node.root / "opt/slurm/etc/scripts/prolog.d/60_b.sh").exists()


@pytest.mark.parametrize(
    "url", ["check.sh", "s3://bucket", "s3://b/../$(reboot).sh", "s3://b/a b", "s3://b/.hidden", "--x"]
)
def test_a_program_has_an_address(node: Node, url: str) -> None:
    before = node.tree()
    done = node.run(HEAD, *ACCOUNT, "--epilog", url)
    assert done.returncode == 1
    assert "--epilog must be s3://BUCKET/KEY" in status(done)["reason"]
    assert node.tree() == before


def test_compute_installs_no_program(node: Node) -> None:
    refused(node, COMPUTE, "is for the head node", "--prolog", "s3://bucket/b.sh")


def test_compute_never_writes_what_is_shared(node: Node) -> None:
    def shared() -> dict[str, tuple[int, int, str]]:
        return {path: seen for path, seen in node.tree().items() if path.startswith(("opt/", "lustre"))}

    before = shared()  # all but its own report
    done = node.run(COMPUTE, *ACCOUNT)
    assert done.returncode == 0
    assert shared() == before
    assert node.calls() == []
    assert "the head node's script has not run" in done.stderr


@BOTH
def test_ubuntu_24_allows_user_namespaces(node: Node, script: Path) -> None:
    node.add("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")
    assert node.run(script, *ACCOUNT).returncode == 0
    line = "kernel.apparmor_restrict_unprivileged_userns = 0\n"
    assert node.read("etc/sysctl.d/90-pcinfra-containers.conf") == line
    assert "sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0" in node.calls()


@BOTH
def test_old_image_is_refused_before_anything_is_written(node: Node, script: Path) -> None:
    (node.root / "opt/parallelcluster/examples/enroot/enroot.conf").unlink()
    refused(node, script, "older than AWS ParallelCluster 3.11.1", *ACCOUNT)


@BOTH
def test_unmounted_lustre_is_refused_before_anything_is_written(node: Node, script: Path) -> None:
    node.mounted()
    refused(node, script, "/lustre is not mounted", *ACCOUNT)


def test_lustre_in_fstab_is_mounted(node: Node) -> None:
    node.mounted()
    program(node.stubs / "mount", 'echo "$1" >>"$STATE/mounts"')
    assert node.run(COMPUTE, *ACCOUNT).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--bogus",), "unknown argument '--bogus'"),
        (("123456789012.dkr.ecr.eu-west-1.amazonaws.com",), "unknown argument"),
        (("--region",), "--region needs a value"),
        (("--region", ""), "--region needs a value"),
        (("--lustre", "lustre"), "--lustre must be an absolute path"),
        (("--scratch", "/$(reboot)"), "--scratch must be an absolute path"),
        (("--account", "12", "--region", "eu-west-1"), "is not an ECR registry"),
        (("--account", "123456789012", "--region", "$(reboot)"), "is not an ECR registry"),
        (("--registry", "docker.io"), "is not an ECR registry"),
        (("--gpus", "08"), "--gpus must be a number"),
        (("--efa", "-1"), "--efa must be a number"),
        (("--image", "a b"), "--image must be a file"),
        (("--image", "/lustre/$(reboot).sqsh"), "--image must be a file"),
        (("--image", "-x"), "--image must be a file"),
        ((), "no instance identity"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, tuple) else "",
)
def test_bad_arguments_are_refused(node: Node, arguments: tuple[str, ...], reason: str) -> None:
    refused(node, COMPUTE, reason, *arguments)


@BOTH
def test_help_is_printed(node: Node, script: Path) -> None:
    done = node.run(script, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: {script.name}")


def refused(node: Node, script: Path, reason: str, *arguments: str) -> None:
    before = node.tree()
    done = node.run(script, *arguments)
    assert done.returncode == 1
    assert reason in done.stderr
    assert reason in status(done)["reason"]
    assert node.tree() == before


def test_the_scripts_are_what_their_parts_make(tmp_path: Path) -> None:
    subprocess.run([assets.folder("bootstrap").parent / "tools" / "bootstrap", tmp_path], check=True)
    for script in (HEAD, COMPUTE):
        assert (tmp_path / script.name).read_text() == script.read_text()
        assert mode(tmp_path / script.name) == mode(script)


@pytest.mark.parametrize("script", [HEAD, COMPUTE, HEAD.parent / "parts/gpu-health.sh"], ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    linter = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([linter, script], capture_output=True, text=True, check=False)
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)

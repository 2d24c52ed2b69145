"""``/etc`` of a cluster's nodes: a copy of this machine's, with the users, names and secrets of the cluster."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pcinfra.localcloud.slurm.spec import Spec

DEFAULT_UID = 1000
"""Of the cluster's user, as on every image of ParallelCluster."""

_PEOPLE = range(1000, 60000)
"""User ids of people (UID_MIN and UID_MAX of login.defs); those of this machine have no account on a node."""

_LEFT_OUT = frozenset(
    [f"{name}{old}" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid") for old in ("", "-")]
    + ["hostname", "hosts", "krb5.keytab", "mtab", "munge", "nsswitch.conf", "resolv.conf", "slurm", "sudoers.d"]
)
_LEFT_OUT_BELOW = frozenset(("ssl/private", "ssh"))
"""Secrets of this machine, and what the cluster has its own of."""

_MUNGE_KEY_BYTES = 128
_NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n"
_PROFILE = "PATH=/opt/slurm/bin:$PATH\nMANPATH=/opt/slurm/share/man:${MANPATH:-}\nexport PATH MANPATH\n"


@dataclass(frozen=True, slots=True)
class Account:
    """A line of passwd."""

    name: str
    uid: int
    gid: int
    line: str

    @classmethod
    def parse(cls, line: str) -> Account:
        fields = line.split(":")
        return cls(fields[0], int(fields[2]), int(fields[3]), line)


def user_id(directory: Path) -> int:
    """Return the id of the cluster's user: of the person who owns ``directory`` or the nearest above it, else 1000.

    So somebody who starts the local cloud with sudo in a directory of theirs owns what the cluster's jobs write.
    """
    owners = (path.stat().st_uid for path in (directory, *directory.parents))
    return next((owner for owner in owners if owner in _PEOPLE), DEFAULT_UID)


def daemon_account(etc: Path, name: str) -> Account:
    """Return the account of a daemon's user; the Debian packages make them."""
    for line in _lines(etc / "passwd"):
        if line.startswith(f"{name}:"):
            return Account.parse(line)
    return Account("root", 0, 0, "")


def make_etc(etc: Path, spec: Spec, uid: int, host: Path = Path("/etc")) -> None:
    """Fill ``etc`` from the host's ``/etc``. What is there already is kept, users that were added on a node, too."""
    if not (etc / "passwd").exists():
        shutil.copytree(host, etc, symlinks=True, ignore=_ignore(host), dirs_exist_ok=True, copy_function=_copy)
    _write_accounts(etc, host, spec.user, uid)
    write_hosts(etc, spec)
    (etc / "nsswitch.conf").write_text(_NSSWITCH, encoding="ascii")
    (etc / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", encoding="ascii")
    (etc / "profile.d").mkdir(exist_ok=True)
    (etc / "profile.d" / "slurm.sh").write_text(_PROFILE, encoding="ascii")
    (etc / "profile.d" / "aws.sh").write_text(exports(spec.environment), encoding="utf-8")
    (etc / "parallelcluster").mkdir(exist_ok=True)
    (etc / "parallelcluster" / "cfnconfig").write_text(f"cfn_cluster_user={spec.user}\n", encoding="ascii")
    _link(etc / "mtab", "/proc/self/mounts")
    _link(etc / "slurm", "/opt/slurm/etc")
    munge = daemon_account(etc, "munge")
    write_munge_key(etc / "munge" / "munge.key", munge)


def exports(environment: Mapping[str, str]) -> str:
    """Return the text of a script for sh that sets these variables."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


def write_hosts(etc: Path, spec: Spec) -> None:
    """Write the names of the machines that are there, at once: nodes look names up at any moment."""
    there = [machine for machine in spec.machines if machine.address]
    lines = ["127.0.0.1 localhost", *(f"{machine.address} {machine.name}" for machine in there)]
    draft = etc / "hosts.new"
    draft.write_text("\n".join(lines) + "\n", encoding="ascii")
    draft.replace(etc / "hosts")
    (etc / "hostname").touch()


def write_munge_key(path: Path, owner: Account | None = None) -> None:
    """Make a key that only ``owner`` (None: this process's user) can read, if there is none yet."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(_MUNGE_KEY_BYTES))
    if owner:
        for each in (path, path.parent):
            os.chown(each, owner.uid, owner.gid)


def make_home(home: Path, user: str, uid: int) -> None:
    """Make the user's home directory, theirs alone, with the usual start-up files."""
    own = home / user
    if own.exists():
        return
    skeleton = Path("/etc/skel")
    if skeleton.is_dir():
        shutil.copytree(skeleton, own, symlinks=True)
    own.mkdir(exist_ok=True)
    own.chmod(0o750)
    for path in (own, *own.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def _ignore(host: Path) -> Callable[[str, list[str]], Iterable[str]]:
    def ignored(directory: str, names: list[str]) -> Iterable[str]:
        below = Path(directory).relative_to(host)
        left_out = {name for name in names if str(below / name) in _LEFT_OUT_BELOW}
        return left_out | (_LEFT_OUT & set(names) if below == Path() else set())

    return ignored


def _copy(source: str, target: str) -> str:
    """Copy a file with its owner; sockets, pipes and what cannot be read are left out."""
    status = os.lstat(source)
    if os.path.isfile(source):
        shutil.copy2(source, target, follow_symlinks=False)
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    return target


def _write_accounts(etc: Path, host: Path, user: str, uid: int) -> None:
    home = f"/home/{user}"
    _write_table(etc / "passwd", host / "passwd", user, uid, f"{user}:x:{uid}:{uid}::{home}:/bin/bash")
    _write_table(etc / "group", host / "group", user, uid, f"{user}:x:{uid}:")
    shadow = etc / "shadow"
    known = {line.split(":")[0]: line for line in _lines(shadow)}
    names = [line.split(":")[0] for line in _lines(etc / "passwd")]
    shadow.touch(mode=0o640)
    lines = (known.get(name, f"{name}:*:19000:0:99999:7:::") for name in names)
    shadow.write_text("".join(f"{line}\n" for line in lines), errors="surrogateescape")


def _write_table(target: Path, source: Path, user: str, uid: int, line: str) -> None:
    kept = [each for each in _lines(source) if _is_systems(each, user, uid)]
    names = {user, *(each.split(":")[0] for each in kept)}
    added = [each for each in _lines(target) if each.split(":")[0] not in names]
    draft = target.with_name(f"{target.name}.new")
    draft.write_text("\n".join([*kept, line, *added]) + "\n", encoding="utf-8", errors="surrogateescape")
    draft.replace(target)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if path.exists() else []


def _is_systems(line: str, user: str, uid: int) -> bool:
    """True for an entry of a system's account that does not collide with the cluster's user."""
    fields = line.split(":")
    if len(fields) < 3 or not fields[2].isdigit() or line.startswith(("#", "+", "-")):
        return False
    return fields[0] != user and int(fields[2]) != uid and int(fields[2]) not in _PEOPLE


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)

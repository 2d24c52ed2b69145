"""Slurm's accounting of one cluster: a real slurmdbd, before a MariaDB that is the cluster's own.

On AWS the database of ``SlurmSettings/Database`` is another machine's, and slurmdbd runs on the head node (cookbook,
``config_slurm_accounting``). Here both run on the head node, and the data are below the cluster's directory: they
outlive every stop and start of the cluster, and end with it.

There is no password. The server listens on a Unix socket alone, and lets in whom the kernel says runs slurmdbd
(MariaDB, "Authentication Plugin - Unix Socket").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pcinfra.localcloud.slurm import packages
from pcinfra.localcloud.slurm.orders import Daemon

LOGS: Final = ("slurmdbd.log", "mariadbd.log", "mariadb-install-db.log")

PROGRAMS: Final = ("slurmdbd", "mariadbd", "mariadb-install-db", "my_print_defaults")

PACKAGES: Final = ("slurmdbd", "mariadb-server-core", "mariadb-client-core")
"""Of Debian 12 and later and Ubuntu 24.04 and later; ``mariadb-server`` has them, too. mariadb-install-db calls the
clients' ``my_print_defaults``, and does not depend on it."""

PORT: Final = 6819
"""Of slurmdbd (slurmdbd.conf(5), DbdPort)."""

_OPTIONS: Final = (
    *("--no-defaults", "--skip-networking", "--skip-log-bin", "--performance-schema=OFF"),
    *("--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--innodb-lock-wait-timeout=900"),
    *("--innodb-flush-log-at-trx-commit=2", "--innodb-use-native-aio=0"),
)
"""Small, quick, and whole after ``kill -9``: what was committed is with the kernel. slurmdbd complains of a shorter
lock wait (its ``as_mysql`` checks ``innodb_lock_wait_timeout``)."""

_INSTALL: Final = """set -e
[ ! -d "$1/mysql" ] || exit 0
rm -rf "$1" "$1.new"
mkdir -m 700 "$1.new"
mariadb-install-db --no-defaults --datadir="$1.new" --auth-root-authentication-method=socket \
  --auth-root-socket-user="$(id -un)" --skip-test-db --skip-name-resolve --innodb-log-file-size=16M >"$2" 2>&1
mv "$1.new" "$1"
"""
"""Makes the server's own tables, once; killed in the middle, it begins again."""


def missing(which: Callable[[str], str | None] = packages.find) -> tuple[str, ...]:
    """Return the programs that accounting needs and this machine lacks."""
    return tuple(program for program in PROGRAMS if which(program) is None)


def why_not() -> str:
    """Return why clusters with a database have no accounting here, and what installs it; empty: they have."""
    absent = missing()
    if not absent:
        return ""
    return f"no accounting: {', '.join(absent)} not installed (apt-get install {' '.join(PACKAGES)})"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the daemons keep things.

    Args:
        user: who they run as, also Slurm's own user.
        become: what is put before a command line to run it as that user.
        host: name of the head node, as SlurmctldHost has it; ``address``: where slurmdbd listens.
        data: directory of the database. ``socket``: of the server. ``logs``, ``run``: directories.
        sign: the file that is made when slurmdbd can be asked.
        munge: socket of munged; empty: where it always is.
    """

    user: str
    become: tuple[str, ...]
    host: str
    address: str
    data: str
    socket: str
    logs: str
    run: str
    sign: str
    port: int = PORT
    munge: str = ""
    extra: tuple[str, ...] = ()


def slurmdbd_conf(database: str, place: Place) -> str:
    """Return the text of slurmdbd.conf. slurmdbd makes the database itself, if it is not there."""
    lines = [
        "AuthType=auth/munge",
        *([f"AuthInfo=socket={place.munge}"] if place.munge else []),
        f"DbdHost={place.host}",
        f"DbdAddr={place.address}",
        f"DbdPort={place.port}",
        f"SlurmUser={place.user}",
        f"LogFile={place.logs}/slurmdbd.log",
        f"PidFile={place.run}/slurmdbd.pid",
        "DebugLevel=info",
        "StorageType=accounting_storage/mysql",
        "StorageHost=localhost",
        f"StorageUser={place.user}",
        f"StorageLoc={database}",
        *place.extra,
    ]
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Write slurmdbd.conf at once, for its owner alone: slurmdbd takes no other (slurmdbd.conf(5))."""
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o600)
    draft.replace(path)


def slurm_conf(place: Place) -> dict[str, str]:
    """Return the options of slurm.conf that ParallelCluster sets where there is a database."""
    return {
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": place.host,
        "AccountingStoragePort": str(place.port),
        **({"AccountingStoragePass": place.munge} if place.munge else {}),
        "JobAcctGatherType": "jobacct_gather/linux",
        "JobAcctGatherFrequency": "30",
    }


def daemons(place: Place) -> Sequence[Daemon]:
    """Return what the head node starts before slurmctld, in this order."""
    files = (f"--datadir={place.data}", f"--socket={place.socket}", f"--pid-file={place.run}/mariadbd.pid")
    install = ("sh", "-c", _INSTALL, "sh", place.data, f"{place.logs}/mariadb-install-db.log")
    server = ("mariadbd", *_OPTIONS, *files, f"--log-error={place.logs}/mariadbd.log")
    speaker = ("env", f"MYSQL_UNIX_PORT={place.socket}", f"MARIADB_UNIX_PORT={place.socket}", "slurmdbd", "-D")
    return (
        Daemon("mariadb-install-db", (*place.become, *install), detaches=True, required=True),
        Daemon("mariadbd", (*place.become, *server)),
        Daemon("slurmdbd", (*place.become, *speaker), after=place.socket, listens=place.port, announces=place.sign),
    )

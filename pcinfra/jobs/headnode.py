"""How a cluster's head node is reached: run a script, put files, read a file from an offset.

:class:`SsmHeadNode` does it with SSM Run Command, which needs no open port and no key. SSM's agent runs as root; what
it is sent gives that up at once and goes on as the cluster's user. Scripts start in the runs directory, which is on a
file system that every node mounts, so that a relative path means the same thing on all of them.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pcinfra.aws import Cloud
from pcinfra.errors import CloudError, CommandFailed, NotFound, PcinfraError, Unreachable
from pcinfra.jobs.payloads import Payloads
from pcinfra.sessions import Request
from pcinfra.shell import Completed

# An SSM document has at most 64 KB ("Quotas for Systems Manager"); what SendCommand makes of the parameters counts.
MAX_COMMAND = 48 * 1024
# "The first 24,000 characters written by the plugin to stdout" (API reference, GetCommandInvocation).
MAX_OUTPUT = 24_000
DELIVERY = 60  # seconds within which the agent must take a command; SSM allows 30 and more
SOONEST = 0.02  # seconds after which an answer is asked for: no command ends at once
APPEARS = 30.0  # seconds for which GetCommandInvocation may not know a command that SendCommand has just accepted

_SCRIPTS = Path(__file__).parent / "scripts"
_LARGE = 60_000  # bytes from which on a file is fetched rather than sent in pieces
_HUGE = 4 << 20  # bytes for which pieces would take minutes
_PIECE = 30_000  # bytes of a file that travel in one command, with room for base64 and the script around them


class HeadNode(Protocol):
    """A cluster's head node. Relative paths are below the runs directory."""

    def run(self, script: str, *, timeout: float = 60.0, quiet: float = 0.0) -> Completed:
        """Run a bash script as the cluster's user, in the runs directory, and return what it left.

        The script may be run twice when an answer is lost on the way, and must bear it. At most 24,000 characters of
        its standard output come back.

        Args:
            quiet: of a script that waits for something: for how many seconds that has not come. Who has to ask for the
                answer asks the more seldom.

        Raises:
            CommandFailed: it did not end within ``timeout`` seconds.
            Unreachable: the head node does not answer.
        """
        ...

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write each file (mode 0600, its directories as needed); a file appears complete or not at all."""
        ...

    def read(self, path: str, offset: int) -> tuple[bytes, int]:
        """Return the bytes of ``path`` from ``offset`` on, as many as fit one answer, and the offset after them.

        Raises:
            NotFound: there is no such file.
        """
        ...

    def interactive(self, script: str) -> Sequence[str] | Request:
        """Return the session, or the program of this machine with its arguments, that runs a bash script like
        :meth:`run` does, but at this terminal."""
        ...


def head_node_id(cloud: Cloud, cluster: str) -> str:
    """Return the instance id of a cluster's running head node, by ParallelCluster's tags, in one call.

    Raises:
        NotFound: there is none, or it does not run.
    """
    filters = {
        "tag:parallelcluster:cluster-name": [cluster],
        "tag:parallelcluster:node-type": ["HeadNode"],
        "instance-state-name": ["pending", "running", "stopping", "stopped"],
    }
    answer = cloud.call("ec2", "DescribeInstances", Filters=[{"Name": k, "Values": v} for k, v in filters.items()])
    found = {
        str(instance["State"]["Name"]): str(instance["InstanceId"])
        for reservation in answer["Reservations"]
        for instance in reservation["Instances"]
    }
    if "running" in found:
        return found["running"]
    if not found:
        raise NotFound("there is no such cluster", where=cluster, hint=f"pcinfra cluster create {cluster}")
    state, instance = next(iter(found.items()))
    raise NotFound(
        f"its head node is {state}", where=cluster, hint=f"aws ec2 start-instances --instance-ids {instance}"
    )


def login_user(system: str) -> str:
    """Return the user that ParallelCluster makes on an operating system; empty when only the head node knows."""
    users = {"ubuntu": "ubuntu", "alinux": "ec2-user", "rhel": "ec2-user", "rocky": "rocky"}
    return next((user for prefix, user in users.items() if system.startswith(prefix)), "")


class SsmHeadNode:
    """The :class:`HeadNode` behind SSM Run Command.

    Args:
        user: whom root becomes (empty: the head node knows); an agent that is not root stays who it is.
        runs: the runs directory; empty means ``$PCINFRA_RUNS`` of the agent, else ``/lustre/runs``, else ``~/runs``
            where the agent is not root and there is no Lustre.
        payloads: what large files travel by; None: in pieces, by SSM.
    """

    def __init__(
        self,
        cloud: Cloud,
        instance_id: str,
        user: str,
        *,
        runs: str = "",
        payloads: Payloads | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cloud = cloud
        self.instance_id = instance_id
        self.user = user
        self.runs = runs
        self._payloads = payloads
        self._sleep = sleep
        self._clock = clock

    def run(self, script: str, *, timeout: float = 60.0, quiet: float = 0.0) -> Completed:
        return self._run(wrapped(script, self.user, self.runs), timeout, quiet)

    def administer(self, script: str, *, timeout: float = 60.0) -> Completed:
        """Run a bash script as SSM's agent, which is root on AWS; what it may do and bear is as for :meth:`run`.

        For what only Slurm's administrator may do, and for logs that only root may read. Never for what a user wrote.
        """
        return self._run(as_agent(script), timeout)

    def _run(self, command: str, timeout: float, quiet: float = 0.0) -> Completed:
        if len(command) > MAX_COMMAND:
            raise PcinfraError(f"a script of {len(command)} bytes does not fit an SSM command", where=self.instance_id)
        command_id = self._send(command, timeout)
        return self._outcome(self._ended(command_id, timeout, quiet), timeout)

    def put(self, files: Mapping[str, bytes]) -> None:
        for path, content in files.items():
            if self._payloads and len(content) > _LARGE and self._fetched(self._payloads, path, content):
                continue
            for script in put_scripts({path: content}):
                self.run(script).check()

    def _fetched(self, payloads: Payloads, path: str, content: bytes) -> bool:
        """Let the head node fetch a file; False when it cannot and the file is small enough for another way.

        Raises:
            PcinfraError: it cannot, and the file is not.
        """
        try:
            with payloads.held(content) as address:
                self.run(fetch_script(path, content, address), timeout=900.0).check()
        except PcinfraError:
            if len(content) > _HUGE:
                raise
            return False
        return True

    def read(self, path: str, offset: int) -> tuple[bytes, int]:
        script = f'{encoder()}\nfile={shlex.quote(path)}; [ -f "$file" ] || exit 44\nencoded 22000 "$file" {offset:d}\n'
        done = self.run(script)
        if done.status == 44:
            raise NotFound("there is no such file", where=path)
        data = decoded(done.check().stdout)
        return data, offset + len(data)

    def interactive(self, script: str) -> Request:
        return Request.command(self.instance_id, at_terminal(script, self.user, self.runs))

    def _send(self, command: str, timeout: float) -> str:
        try:
            answer = self.cloud.call(
                "ssm",
                "SendCommand",
                InstanceIds=[self.instance_id],
                DocumentName="AWS-RunShellScript",
                Comment="pcinfra",
                TimeoutSeconds=DELIVERY,
                Parameters={"commands": [command], "executionTimeout": [str(max(1, round(timeout)))]},
            )
        except CloudError as error:
            if error.code == "InvalidInstanceId":
                raise self._silent("SSM does not know it, or it is stopped") from error
            raise
        return str(answer["Command"]["CommandId"])

    def _ended(self, command_id: str, timeout: float, quiet: float) -> dict[str, Any]:
        """Return the invocation once it has ended. Asks often at first, then every two seconds; see :meth:`run`.

        Raises:
            Unreachable: twice in a row nobody answered, in spite of all that the door has tried.
        """
        start, silent, waited = self._clock(), 0, 0.0
        while waited < DELIVERY + timeout + 10:
            self._sleep(min(max((quiet + waited) / 6, SOONEST), 2.0))
            waited = self._clock() - start
            try:
                invocation = self._invocation(command_id, waited)
                silent = 0
            except Unreachable:
                invocation, silent = None, silent + 1
                if silent > 1:
                    raise
            if invocation and invocation["Status"] not in ("Pending", "InProgress", "Delayed", "Cancelling"):
                return invocation
        raise self._silent(f"command {command_id} has not ended after {waited:.0f} s")

    def _invocation(self, command_id: str, waited: float) -> dict[str, Any] | None:
        try:
            return self.cloud.call("ssm", "GetCommandInvocation", CommandId=command_id, InstanceId=self.instance_id)
        except CloudError as error:
            if error.code == "InvocationDoesNotExist" and waited < APPEARS:
                return None
            raise

    def _outcome(self, invocation: Mapping[str, Any], timeout: float) -> Completed:
        """Return what an ended invocation left ("Understanding command statuses", Systems Manager user guide)."""
        details = str(invocation.get("StatusDetails") or invocation["Status"]).replace(" ", "")
        out, err = str(invocation.get("StandardOutputContent", "")), str(invocation.get("StandardErrorContent", ""))
        status = int(invocation.get("ResponseCode", -1))
        argv = ("ssm:SendCommand", self.instance_id)
        if details == "Success":
            return Completed(argv, 0, out, err)
        if details == "Failed" and status > 0:
            return Completed(argv, status, out, err)
        if details == "ExecutionTimedOut" or (details == "TimedOut" and status != -1):
            raise CommandFailed(list(argv), 124, f"no end after {timeout:g} s\n{err}")
        if details in ("Cancelled", "Terminated"):
            raise CommandFailed(list(argv), 143, f"somebody cancelled the command\n{err}")
        raise self._silent(f"SSM says {details}: {err.strip() or 'its agent did not take the command'}")

    def _silent(self, why: str) -> Unreachable:
        return Unreachable(
            f"the head node does not answer: {why}",
            where=self.instance_id,
            hint=f"aws ssm describe-instance-information --filters Key=InstanceIds,Values={self.instance_id}",
        )


def wrapped(script: str, user: str, runs: str = "") -> str:
    """Return the POSIX sh text that runs the bash ``script`` as the cluster's user.

    AWS-RunShellScript hands its text to sh, which is dash on Ubuntu. The script travels compressed and goes to bash
    through a pipe: no process has any of it in its arguments.
    """
    return _as_user(f"{{\n{script}\n}} </dev/null\nexit $?\n", user, runs) + "unpacked | as_user bash -s\n"


def at_terminal(script: str, user: str, runs: str = "") -> str:
    """Return one line of POSIX sh that runs the bash ``script`` as the cluster's user, with this terminal as its input.

    A session of Session Manager is not root, but its user may become that ("Turn on or turn off ssm-user account
    administrative permissions", Systems Manager user guide).
    """
    text = _as_user(script, user, runs) + 'as_user TERM="${TERM:-xterm}" bash -c "$(unpacked)"\n'
    line = f'text=$(echo {_encoded(text.encode())} | base64 -d | gzip -dc); [ "$(id -u)" = 0 ] || '
    return line + '! sudo -n true 2>/dev/null || exec sudo -n sh -c "$text"; exec sh -c "$text"'


def _as_user(body: str, user: str, runs: str) -> str:
    values = f"user={shlex.quote(user)}\nruns={shlex.quote(runs)}\npayload={_encoded(body.encode())}\n"
    return values + (_SCRIPTS / "as-user.sh").read_text()


def as_agent(script: str) -> str:
    """Return the POSIX sh text that runs the bash ``script`` as whoever runs this text, with Slurm's programs."""
    payload = _encoded(f"{{\n{script}\n}} </dev/null\nexit $?\n".encode())
    path = 'PATH="/opt/slurm/bin:${PATH:-/usr/bin:/bin}"'
    return f'payload={payload}\nprintf %s "$payload" | base64 -d | gzip -dc | env LANG=C.UTF-8 {path} bash -s\n'


def encoder() -> str:
    """Return the bash functions with which a script sends bytes back: what ``encoded`` prints, ``decoded`` reads."""
    return (_SCRIPTS / "encoded.sh").read_text()


def decoded(text: str) -> bytes:
    """Return the bytes that ``encoded`` printed."""
    return gzip.decompress(base64.b64decode(text.strip(), validate=True)) if text.strip() else b""


def put_scripts(files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield scripts that together write ``files``, each small enough for one command."""
    for path, content in files.items():
        part = shlex.quote(f"{path}.part")
        for offset in range(0, len(content) or 1, _PIECE):
            start = f'umask 077; mkdir -p -- "$(dirname -- {part})" && : >{part} || exit' if not offset else ""
            piece = base64.b64encode(content[offset : offset + _PIECE]).decode()
            place = f"oflag=seek_bytes seek={offset} conv=notrunc status=none"
            write = f"printf %s '{piece}' | base64 -d | dd of={part} {place} || exit"
            last = offset + _PIECE >= len(content)
            yield "\n".join(filter(None, (start, write, _finish(path, content) if last else "")))


def fetch_script(path: str, content: bytes, address: str) -> str:
    """Return the script that fetches a file from ``address``, which is in no program's arguments."""
    part = shlex.quote(f"{path}.part")
    asked = shlex.quote(f'url = "{address}"')
    start = f'umask 077; mkdir -p -- "$(dirname -- {part})" || exit'
    fetch = f"printf '%s\\n' {asked} | curl -fsS --retry 3 --max-time 800 -o {part} -K - || exit"
    return "\n".join((start, fetch, _finish(path, content)))


def _finish(path: str, content: bytes) -> str:
    part, whole = shlex.quote(f"{path}.part"), shlex.quote(path)
    digest = hashlib.sha256(content).hexdigest()
    return f"sha256sum -c --status <<<'{digest}  '{part} && mv -- {part} {whole}"


def _encoded(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()

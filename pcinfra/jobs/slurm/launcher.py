"""The Launcher of Slurm: everything is a short bash script on the head node, one round trip each."""

from __future__ import annotations

import base64
import json
import re
import shlex
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pcinfra.errors import CommandFailed, NotFound, PcinfraError, Refused, Unreachable, UsageError
from pcinfra.jobs.headnode import HeadNode, decoded
from pcinfra.jobs.launcher import EVERYTHING, Chunk, History, Look, Query, State, Status, Wait, Wanted
from pcinfra.jobs.manifest import Manifest, archive
from pcinfra.jobs.slurm import records
from pcinfra.jobs.slurm.hostlist import expand
from pcinfra.jobs.slurm.records import Answer
from pcinfra.sessions import Request

_SCRIPTS = Path(__file__).parent / "scripts"
_INLINE = 30_000  # base64 characters of an archive that travel inside the submitting script
_ANSWER = 23_000  # characters of an answer, of SSM's 24,000
_PAGE = 500  # runs that one answer is asked for; fewer come when they do not fit
_AGE = 16  # characters at the end of a run's id, by which runs sort
_TOGETHER = 1000  # runs in one command: their ids must fit into it, and its answer into SSM's
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


class SlurmLauncher:
    """The :class:`~pcinfra.jobs.launcher.Launcher` of the Slurm behind ``head``."""

    def __init__(self, head: HeadNode) -> None:
        self._head = head
        self._told: dict[str, str] = {}  # by run: the mark of where it stood when somebody last waited for news of it

    def submit(self, manifest: Manifest) -> str:
        (answer,) = self.submit_all([manifest])
        if isinstance(answer, str):
            return answer
        raise answer

    def submit_all(self, manifests: Sequence[Manifest]) -> list[str | PcinfraError]:
        answers: list[str | PcinfraError] = []
        for start in range(0, len(manifests), _TOGETHER):
            answers += self._submit_some(manifests[start : start + _TOGETHER])
        return answers

    def _submit_some(self, manifests: Sequence[Manifest]) -> list[str | PcinfraError]:
        packed = archive(manifests)
        text = base64.b64encode(packed).decode()
        if len(text) > _INLINE:
            staged = f".{manifests[0].run}.tar"
            self._head.put({staged: packed})
            text = f"@{staged}"
        runs = [manifest.run for manifest in manifests]
        answer = self._run(_script("digest", "submit", RUNS=" ".join(runs), ARCHIVE=text), timeout=600)
        return _submitted(runs, answer.splitlines())

    def look(
        self,
        run: str,
        offsets: Mapping[str, int] | None = None,
        wanted: Wanted = EVERYTHING,
        wait: Wait | None = None,
    ) -> Look:
        script = _look_script(run, offsets, wanted, wait, self._told.get(run, ""))
        look, mark = _look(run, self._run(script, quiet=wait.quiet if wait else 0.0), wanted)
        if wait:
            self._told[run] = self._told[look.status.run] = mark
        return look

    def cancel(self, run: str) -> Status:
        return self._steered("cancel", run)

    def requeue(self, run: str) -> Status:
        return self._steered("requeue", run)

    def rerun(self, run: str, new: str) -> str:
        packing = _script("find", "rerun", WHAT=_name(run), NEW=_name(new))
        lines = self._run("\n".join([packing, _script("digest", "submit")]), timeout=300).splitlines()
        if not any(line.startswith("jobs ") for line in lines):
            _answer(run, "".join(lines))
        (job,) = _submitted([new], lines)
        if isinstance(job, str):
            return job
        raise job

    def runs(self, query: Query) -> list[Status]:
        found: list[Status] = []
        before, more = "", True
        while more and len(found) < query.limit:
            asked = min(_PAGE, _PAGE if _only_ended(query) else query.limit - len(found))
            answer = self._page(query, before, asked)
            page = answer.statuses()
            found += [each for each in page if not query.states or each.state in query.states]
            more = bool(page) and ("more" in answer.other or len(page) == asked)
            before = page[-1].run[-_AGE:] if page else ""
        return found[: query.limit]

    def history(self, run: str) -> History:
        answer = _answer(run, self._run(_script("record", "sacct", "find", "history", WHAT=_name(run))))
        status = answer.statuses()[0]
        size, _, first = answer.other["spec"][0].partition(" ")
        text = base64.b64decode(first)
        while len(text) < int(size):
            piece, _ = self._head.read(f"{status.run}/spec.json", len(text))
            if not piece:
                break
            text += piece
        return History(status, _spec(text), records.checkpoints(answer))

    def shell(self, run: str, node: str = "") -> Sequence[str] | Request:
        status = self.look(run).status
        attempt = status.attempts[-1] if status.attempts else None
        if status.state is not State.RUNNING or attempt is None:
            hint = f"pcinfra rerun {status.run}" if status.state.ended else f"pcinfra logs {status.run} --follow"
            raise Refused(f"it does not run: {status.state}", where=status.run, hint=hint)
        names = expand(attempt.nodes)
        name = names[int(node or 0)] if node.isdigit() and int(node) < len(names) else node or names[0]
        if name not in names:
            raise UsageError(
                f"has no node {node}", where=status.run, hint=" or ".join(f"--node {n}" for n in names[:8])
            )
        values = {"RUN": status.run, "JOB": status.job, "NODE": name, "GPUS": str(attempt.gpus)}
        return self._head.interactive(_script("shell", **values))

    def _page(self, query: Query, before: str, limit: int) -> Answer:
        active = "yes" if query.states and not _only_ended(query) else ""
        values = {"LIMIT": str(limit), "BEFORE": before, "NAME": query.name, "ACTIVE": active}
        return _answer("jobs", self._run(_script("record", "sacct", "list", **values)))

    def _steered(self, script: str, run: str) -> Status:
        steer = _script("find", script, WHAT=_name(run))
        return _look(run, self._run("\n".join(["cd -- . || exit", steer, _look_script(run)])), EVERYTHING)[0].status

    def _run(self, script: str, timeout: float = 60.0, quiet: float = 0.0) -> str:
        done = self._head.run(script, timeout=timeout, quiet=quiet)
        if done.status:
            raise CommandFailed(["head node"], done.status, done.stderr or done.stdout)
        return done.stdout


def _only_ended(query: Query) -> bool:
    """Return whether a query needs runs that Slurm may have forgotten; how many must be looked at, nobody knows."""
    return any(state.ended for state in query.states)


def _submitted(runs: Sequence[str], lines: Sequence[str]) -> list[str | PcinfraError]:
    """Return what submit.sh printed: for each run its job id, or why it was refused."""
    ids = next((line.split()[1:] for line in lines if line.startswith("jobs ")), [])
    if len(ids) != len(runs):
        raise Unreachable("the head node's answer is cut off", where="submit", hint="pcinfra jobs")
    said = dict(line.removeprefix("refused ").partition(" ")[::2] for line in lines if line.startswith("refused "))
    return [_refusal(run, said.get(run, "")) if job == "-" else job for run, job in zip(runs, ids, strict=True)]


def _refusal(run: str, why: str) -> PcinfraError:
    why = why.strip() or "sbatch refused it"
    if why != "no-containers":
        return CommandFailed(["sbatch"], 1, why)
    return UsageError(
        "the cluster cannot run containers: Pyxis is not switched on",
        where="image",
        hint="container: optional runs it on the nodes themselves; "
        "bootstrap/head-node-enroot-pyxis-setup.sh switches Pyxis on",
    )


def _script(*names: str, **values: str) -> str:
    """Return scripts after each other, with their variables set before them."""
    lines = [f"{variable}={shlex.quote(value)}" for variable, value in values.items()]
    return "\n".join([*lines, *((_SCRIPTS / f"{name}.sh").read_text() for name in names)])


def _look_script(
    run: str,
    offsets: Mapping[str, int] | None = None,
    wanted: Wanted = EVERYTHING,
    wait: Wait | None = None,
    known: str = "",
) -> str:
    seen = " ".join(f"[{shlex.quote(log)}]={offset:d}" for log, offset in (offsets or {}).items())
    values = {
        "WHAT": _name(run),
        "LIMIT": "0" if offsets is None else str(_ANSWER),
        "NODE": wanted.node or "",
        "ATTEMPT": "" if wanted.attempt is None else str(wanted.attempt),
        "SINCE": "" if wanted.since is None else f"{wanted.since:.0f}",
        "WAIT": f"{wait.seconds:.0f}" if wait else "0",
        "QUIET": f"{wait.quiet:.0f}" if wait else "0",
        "KNOWN": known,
    }
    return "\n".join([f"declare -A OFFSETS=({seen})", _script("record", "sacct", "find", "look", **values)])


def _name(run: str) -> str:
    if not _RUN.fullmatch(run):
        raise UsageError("is not the name of a run", where=repr(run), hint="pcinfra jobs")
    return run


def _bytes(where: str, text: str) -> bytes:
    try:
        return decoded(text)
    except (ValueError, EOFError, OSError, zlib.error):
        raise _cut_off(where) from None


def _cut_off(where: str) -> Unreachable:
    return Unreachable("the head node's answer is cut off", where=where, hint="the same command again")


def _answer(where: str, text: str) -> Answer:
    """Return what a script answered, without logs."""
    return _read(where, _bytes(where, text), b"end\n")


def _read(where: str, head: bytes, end: bytes) -> Answer:
    answer = records.read(head.decode(errors="replace").splitlines())
    _raise_if_refused(where, answer)
    if not head.endswith(end):
        raise _cut_off(where)
    return answer


def _raise_if_refused(run: str, answer: Answer) -> None:
    said = answer.other
    if "gone" in said:
        raise NotFound("its job is cancelled; its directory is not there any more", where=run, hint="pcinfra jobs")
    if "unknown" in said:
        raise NotFound("there is no such run", where=run, hint="pcinfra jobs")
    if "many" in said:
        raise UsageError(f"means several runs: {said['many'][0]}", where=run, hint="write more of the id")
    if "refused" in said:
        raise Refused(said["refused"][0], where=run, hint=f"pcinfra rerun {run}")


def _look(run: str, text: str, wanted: Wanted) -> tuple[Look, str]:
    """Return what look.sh printed, and its mark of where the run stands.

    Raises:
        Unreachable: the answer is cut off.
    """
    head, mark, logs = _bytes(run, text).partition(b"\ndata\n")
    answer = _read(run, head + mark, mark or b"?")
    status = answer.statuses()[0]
    if "array" not in answer.other:
        _raise_if_nowhere(status, wanted, unknown="nowhere" in answer.other)
    pieces = [line.split(" ") for line in answer.other.get("log", ())]
    if sum(int(size) for _, _, size in pieces) != len(logs):
        raise _cut_off(run)
    chunks, start = [], 0
    for name, offset, size in pieces:
        chunks.append(Chunk(name, int(offset), logs[start : start + int(size)], _node(name, status)))
        start += int(size)
    chunks.sort(key=lambda chunk: (not chunk.node, chunk.log))  # first what the job says, then what Slurm says of it
    begins = {name: int(at) for name, at in (line.split(" ") for line in answer.other.get("from", ()))}
    writers = 2 if "array" in answer.other else 1 if wanted.node else status.wants
    waited = float(answer.other["waited"][0]) if "waited" in answer.other else None
    look = Look(status, writers, tuple(chunks), "more" in answer.other, begins, waited)
    return look, answer.other.get("mark", [""])[0]


def _raise_if_nowhere(status: Status, wanted: Wanted, *, unknown: bool) -> None:
    """Raise :class:`UsageError` where somebody wants what a node or an attempt said that the run has not.

    Args:
        unknown: no attempt has had a node of that name.
    """
    if not status.attempts:
        return
    most = max(attempt.count for attempt in status.attempts)
    if wanted.node and (unknown or (wanted.node.isdigit() and int(wanted.node) >= most)):
        raise UsageError(f"has no node {wanted.node}", where=status.run, hint=f"pcinfra show {status.run}")
    if wanted.attempt is not None and wanted.attempt > status.attempts[-1].number:
        why = f"has no attempt {wanted.attempt + 1}; the last one is {status.attempts[-1].number + 1}"
        raise UsageError(why, where=status.run, hint=f"pcinfra show {status.run}")


def _node(log: str, status: Status) -> str:
    """Return who wrote a log: ``node-K.A.log`` is of the K-th node of the attempt A, ``node-T_K.A.log`` of task T."""
    found = re.match(r"node-(?:(\d+)_)?(\d+)\.(\d+)\.", log)
    if not found:
        return ""
    task, index, number = found[1], int(found[2]), int(found[3])
    if task:
        return f"task {task}" + (f" node {index}" if status.wants > 1 else "")
    nodes = next((each.nodes for each in status.attempts if each.number == number), status.nodes)
    names = expand(nodes)
    return names[index] if index < len(names) else f"node {index}"


def _spec(text: bytes) -> Mapping[str, object]:
    try:
        spec = json.loads(text)
    except ValueError:
        return {}
    return spec if isinstance(spec, dict) else {}

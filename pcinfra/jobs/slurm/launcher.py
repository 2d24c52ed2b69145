"""The Launcher of Slurm: everything is a short bash script on the head node, one round trip each."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pcinfra.errors import CommandFailed, NotFound, PcinfraError, Unreachable, UsageError
from pcinfra.jobs.headnode import HeadNode, decoded, encoder
from pcinfra.jobs.launcher import Chunk, Look, Status
from pcinfra.jobs.manifest import Manifest, archive
from pcinfra.jobs.slurm.hostlist import expand
from pcinfra.jobs.slurm.render import PREFIX
from pcinfra.jobs.slurm.states import status

_SCRIPTS = Path(__file__).parent / "scripts"
_INLINE = 30_000  # base64 characters of an archive that travel inside the submitting script
_LOGS = 21_000  # characters of logs in one answer; the rest of SSM's 24,000 is for where the run stands
_TOGETHER = 1000  # runs in one command: their ids must fit into it, and its answer into SSM's
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


class SlurmLauncher:
    """The :class:`~pcinfra.jobs.launcher.Launcher` of the Slurm behind ``head``."""

    def __init__(self, head: HeadNode) -> None:
        self._head = head

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
        runs = " ".join(manifest.run for manifest in manifests)
        answer = self._run(_script("submit", RUNS=runs, ARCHIVE=text), timeout=600)
        return _submitted(manifests, answer.splitlines())

    def look(self, run: str, offsets: Mapping[str, int] | None = None) -> Look:
        return _look(run, self._run(_look_script(run, offsets)))

    def cancel(self, run: str) -> Status:
        script = "\n".join(["(", _script("find"), _script("cancel", WHAT=_name(run)), ") || exit", _look_script(run)])
        return _look(run, self._run(script)).status

    def runs(self, limit: int) -> list[Status]:
        answer = decoded(self._run(_script("list", LIMIT=str(limit)))).decode(errors="replace")
        return list(_listed(answer.splitlines()))

    def _run(self, script: str, timeout: float = 60.0) -> str:
        done = self._head.run(script, timeout=timeout)
        if done.status:
            raise CommandFailed(["head node"], done.status, done.stderr or done.stdout)
        return done.stdout


def _submitted(manifests: Sequence[Manifest], lines: Sequence[str]) -> list[str | PcinfraError]:
    """Return what submit.sh printed: for each run its job id, or why it was refused."""
    ids = next((line.split()[1:] for line in lines if line.startswith("jobs ")), [])
    if len(ids) != len(manifests):
        raise Unreachable("the head node's answer is cut off", where="submit", hint="pcinfra jobs")
    said = dict(line.removeprefix("refused ").partition(" ")[::2] for line in lines if line.startswith("refused "))
    return [_refusal(m.run, said.get(m.run, "")) if job == "-" else job for m, job in zip(manifests, ids, strict=True)]


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


def _script(name: str, **values: str) -> str:
    """Return the script ``name`` with its variables set before it."""
    lines = [f"{variable}={shlex.quote(value)}" for variable, value in values.items()]
    return "\n".join([*lines, (_SCRIPTS / f"{name}.sh").read_text()])


def _look_script(run: str, offsets: Mapping[str, int] | None = None) -> str:
    seen = " ".join(f"[{shlex.quote(log)}]={offset:d}" for log, offset in (offsets or {}).items())
    limit = "0" if offsets is None else str(_LOGS)
    return "\n".join(
        [encoder(), _script("find"), f"declare -A OFFSETS=({seen})", _script("look", WHAT=_name(run), LIMIT=limit)]
    )


def _name(run: str) -> str:
    if not _RUN.fullmatch(run):
        raise UsageError("is not the name of a run", where=repr(run), hint="pcinfra jobs")
    return run


def _look(run: str, answer: str) -> Look:
    """Return what look.sh printed.

    Raises:
        PcinfraError: the answer is cut off.
    """
    lines = answer.splitlines()
    fields = dict(line.partition(" ")[::2] for line in lines if not line.startswith("log "))
    if "unknown" in fields:
        raise NotFound("there is no such run", where=run, hint="pcinfra jobs")
    if "many" in fields:
        raise UsageError(f"means several runs: {fields['many']}", where=run, hint="write more of the id")
    if "end" not in fields:
        raise PcinfraError("the head node's answer is cut off", where=run, hint="the same command again")
    stands = status(fields["run"], fields["job"], fields)
    names = expand(stands.nodes)
    chunks = tuple(_chunk(line, names) for line in lines if line.startswith("log "))
    return Look(stands, int(fields["nodes"]), chunks, "more" in fields)


def _chunk(line: str, names: Sequence[str]) -> Chunk:
    """Return the chunk of a line ``log NAME OFFSET BYTES``; ``node-K...`` is the log of the K-th of ``names``."""
    _, log, offset, text = line.split(" ")
    index = re.match(r"node-(\d+)\.", log)
    node = "" if not index else names[int(index[1])] if int(index[1]) < len(names) else f"node {index[1]}"
    return Chunk(log, int(offset), decoded(text), node)


def _listed(lines: list[str]) -> Iterator[Status]:
    """Yield what list.sh printed: first Slurm's lines, then for each run what is kept of it and its name."""
    asked = next((line.removeprefix("asked ") for line in lines if line.startswith("asked ")), "1")
    if not lines or lines[-1] != "end":
        raise PcinfraError("the head node's answer is cut off", where="jobs", hint="pcinfra jobs --limit 20")
    known = dict(line.removeprefix(PREFIX).split("|", 1) for line in lines if line.startswith(PREFIX))
    fields: dict[str, str] = {}
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "run":
            run, _, job = rest.partition(" ")
            slurm = known.get(run, "")
            yield status(run, job, {**fields, "asked": asked, "slurm": slurm})
            fields = {}
        elif word in ("kept", "result", "cancelled"):
            fields[word] = rest

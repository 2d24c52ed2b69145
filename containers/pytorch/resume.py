"""Checkpoints that survive: for a training script, in a job of pcinfra or anywhere else.

One file, standard library only, Python 3.10 or later: it can be copied beside a training script as it is. ::

    import resume  # from pcinfra import resume, where pcinfra is installed

    run = resume.Run()  # directories, rank and attempt from the job's environment
    found = run.newest()  # the newest complete checkpoint, the same on every rank; None at the beginning
    step = load(found.path) if found else 0
    while step < steps:
        step = train(step)
        stop = run.stopping()  # the job is about to lose its nodes
        if stop or step % 100 == 0:
            run.save(step, write)  # write(directory) puts any files there
        if stop:
            sys.exit()  # the job goes on from here later
    run.done()

A checkpoint is a directory ``step-N`` with a manifest of the sizes and hashes of its files. It is written under another
name, flushed to the disk, and renamed: whatever is killed whenever, a directory of that name is complete. One that was
damaged later does not fit its manifest and is passed over.

With many processes every rank makes the same calls. Rank 0 decides, and the ranks meet through ``torch.distributed``
where it is set up, else through files. ``write`` is called on rank 0 alone, or with ``shards=True`` on every rank with
the same directory, where each writes files of other names.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

MANIFEST = "manifest.json"
_NAME = re.compile(r"step-(\d{1,18})")
_LEFT = re.compile(r"\.(new|old)-(\d+)-.*")  # what a save that was killed leaves behind, with its attempt
_THREADS = 8


class Damaged(Exception):
    """A directory is not a complete checkpoint; the text says why."""


@dataclass(frozen=True)
class Checkpoint:
    """One complete checkpoint. ``meta`` is what was given to ``save``."""

    step: int
    path: Path
    meta: Mapping[str, Any]


class Group(Protocol):
    """The processes of a run. Every one of them makes the same calls in the same order."""

    rank: int
    size: int

    def share(self, text: str) -> str:
        """Return what rank 0 gave; nobody returns before all have called."""
        ...

    def agree(self, flag: bool) -> bool:
        """Return whether any rank says so, the same on every rank."""
        ...


class Alone:
    """A run of one process."""

    rank, size = 0, 1

    def share(self, text: str) -> str:
        return text

    def agree(self, flag: bool) -> bool:
        return flag


class TorchGroup:
    """The processes of torch.distributed's default group."""

    def __init__(self) -> None:
        import torch.distributed

        self._torch, self._dist = torch, torch.distributed
        self._device = "cuda" if self._dist.get_backend() == "nccl" else "cpu"
        self.rank, self.size = self._dist.get_rank(), self._dist.get_world_size()

    def share(self, text: str) -> str:
        content = list(text.encode()) if self.rank == 0 else []
        length = self._largest(len(content))  # also: nobody goes on before all are here
        told = self._torch.tensor(content or [0] * length, dtype=self._torch.uint8, device=self._device)
        if length:
            self._dist.broadcast(told, src=0)
        return bytes(told.tolist()).decode()

    def agree(self, flag: bool) -> bool:
        return self._largest(int(flag)) > 0

    def _largest(self, number: int) -> int:
        told = self._torch.tensor(number, device=self._device)
        self._dist.all_reduce(told, self._dist.ReduceOp.MAX)
        return int(told.item())


class FileGroup:
    """Processes that meet in a directory which all of them see.

    Args:
        directory: of this start of the processes alone: files of an earlier one would be taken for theirs.
        patience: seconds for which the others are waited for.
    """

    def __init__(self, directory: str | Path, rank: int, size: int, patience: float = 1800.0) -> None:
        self.rank, self.size = rank, size
        self._directory, self._patience, self._turn = Path(directory), patience, 0
        self._directory.mkdir(parents=True, exist_ok=True)

    def share(self, text: str) -> str:
        """See Group.

        Raises:
            TimeoutError: some ranks have not come.
        """
        return self._meet(text)[0]

    def agree(self, flag: bool) -> bool:
        """See Group; raises as share does."""
        return "yes" in self._meet("yes" if flag else "no")

    def _meet(self, text: str) -> list[str]:
        """Return what each rank gave, once all have."""
        self._turn += 1
        _replace(self._file(self._turn, self.rank), text, flush=False)
        for rank in range(self.size):
            self._wait(rank)
        answers = [self._file(self._turn, rank).read_text(encoding="utf-8") for rank in range(self.size)]
        self._file(self._turn - 1, self.rank).unlink(missing_ok=True)  # whoever is here has read the turn before
        return answers

    def _file(self, turn: int, rank: int) -> Path:
        return self._directory / f"{turn}.{rank}"

    def _wait(self, rank: int) -> None:
        end, pause = time.monotonic() + self._patience, 0.001
        while not self._file(self._turn, rank).exists():
            if time.monotonic() > end:
                raise TimeoutError(f"rank {rank} has not come to {self._directory} within {self._patience:.0f} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)


def find_group(directory: Path, environ: Mapping[str, str] = os.environ) -> Group:
    """Return the processes of this run: torch.distributed where it is set up, else by the environment's numbers.

    Those are torchrun's (``RANK``, ``WORLD_SIZE``) or srun's (``SLURM_PROCID``, ``SLURM_STEP_NUM_TASKS``).
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        return TorchGroup()
    rank = int(environ.get("RANK") or environ.get("SLURM_PROCID") or 0)
    size = int(environ.get("WORLD_SIZE") or environ.get("SLURM_STEP_NUM_TASKS") or 1)
    if size == 1:
        return Alone()
    names = ("PCINFRA_RUN", "SLURM_JOB_ID", "SLURM_STEP_ID", "PCINFRA_ATTEMPT", "TORCHELASTIC_RUN_ID")
    starts = [environ.get(name, "") for name in (*names, "TORCHELASTIC_RESTART_COUNT")]
    if not any(starts):
        raise RuntimeError("the ranks cannot tell this start from an earlier one: give Run a group")
    place = directory / f".meet-{hashlib.sha256(chr(10).join(starts).encode()).hexdigest()[:16]}"
    for earlier in directory.glob(".meet-*") if rank == 0 else ():
        if earlier != place:
            shutil.rmtree(earlier, ignore_errors=True)
    return FileGroup(place, rank, size)


class Checkpoints:
    """A directory of checkpoints.

    Args:
        keep: how many complete ones to keep.
        attempt: of the run. What a later attempt is just writing is let alone: the processes of an earlier one may
            live on for a while on a node that nobody reaches any more.
    """

    def __init__(self, directory: str | Path, keep: int = 3, group: Group | None = None, attempt: int = 0) -> None:
        if keep < 1:
            raise ValueError(f"at least one checkpoint must be kept, not {keep}")
        self.directory, self.keep = Path(directory).absolute(), keep
        self._group, self._attempt = group or Alone(), attempt
        self._bad: set[Path] = set()  # those whose content is not what was written: their sizes do not tell

    def newest(self) -> Checkpoint | None:
        """Return the newest complete checkpoint, the same one on every rank; damaged ones are told and passed over."""
        found = self._search() if self._group.rank == 0 else None
        name = self._group.share(found.path.name if found else "")
        return found or (read(self.directory / name, hashes=False) if name else None)

    def save(
        self,
        step: int,
        write: Callable[[Path], Any],
        *,
        shards: bool = False,
        meta: Mapping[str, Any] | None = None,
    ) -> Checkpoint:
        """Make the checkpoint of ``step``; when this returns, on any rank, it is complete.

        A complete checkpoint of this step is left as it is.

        Args:
            write: is given an empty directory.
            shards: every rank writes, else rank 0 alone.
            meta: kept in the manifest; must be possible in JSON.
        """
        name = f"step-{step}"
        if not _NAME.fullmatch(name):
            raise ValueError(f"a step is a number from 0 on, not {step}")
        place = self._group.share(self._begin(name) if self._group.rank == 0 else "")
        if not place:
            return read(self.directory / name, hashes=False)
        new = self.directory / place
        if shards or self._group.rank == 0:
            write(new)
            for file in _files(new):
                _flush(file)  # what this node has written, only this node can flush
        self._group.share("")
        mine = _hashes(new, sorted(_files(new))[self._group.rank :: self._group.size])
        _replace(self.directory / f"{place}.parts" / str(self._group.rank), json.dumps(mine), flush=False)
        self._group.share("")
        if self._group.rank == 0:
            self._finish(new, self.directory / name, step, dict(meta or {}))
        self._group.share("")
        return Checkpoint(step, self.directory / name, dict(meta or {}))

    def _search(self) -> Checkpoint | None:
        for path in self._all():
            try:
                return read(path)
            except Damaged as why:
                self._bad.add(path)
                print(f"resume: {path}: {why}; passing it over", file=sys.stderr, flush=True)
        return None

    def _all(self) -> list[Path]:
        """The directories that have a checkpoint's name, newest first."""
        names = os.listdir(self.directory) if self.directory.is_dir() else []
        found = [(int(match[1]), name) for name in names if (match := _NAME.fullmatch(name))]
        return [self.directory / name for _, name in sorted(found, reverse=True)]

    def _begin(self, name: str) -> str:
        """Return the name of an empty directory to write to; empty when there is nothing to write."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._complete(self.directory / name):
            return ""
        for entry in os.listdir(self.directory):
            left = _LEFT.fullmatch(entry)
            if left and int(left[2]) <= self._attempt:
                shutil.rmtree(self.directory / entry, ignore_errors=True)
        place = f".new-{self._attempt}-{name}-{os.urandom(4).hex()}"
        (self.directory / place).mkdir()
        (self.directory / f"{place}.parts").mkdir()
        return place

    def _finish(self, new: Path, final: Path, step: int, meta: Mapping[str, Any]) -> None:
        """Write the manifest, give the directory its name, and forget what is older than what is kept."""
        files: dict[str, Any] = {}
        parts = self.directory / f"{new.name}.parts"
        for rank in range(self._group.size):
            files.update(json.loads((parts / str(rank)).read_text(encoding="utf-8")))
        text = {"version": 1, "step": step, "time": round(time.time(), 3), "meta": meta, "files": files}
        _replace(new / MANIFEST, json.dumps(text, indent=1))
        for folder in {new, *(file.parent for file in _files(new))}:
            _flush(folder)
        self._remove(final)  # damaged, or it would have been left as it is
        new.rename(final)
        self._bad.discard(final)
        _flush(self.directory)
        shutil.rmtree(parts, ignore_errors=True)
        for path in self._surplus():
            self._remove(path)

    def _surplus(self) -> list[Path]:
        complete = [path for path in self._all() if self._complete(path)]
        oldest = complete[: self.keep][-1]
        return [path for path in self._all() if int(path.name[5:]) < int(oldest.name[5:])]

    def _remove(self, path: Path) -> None:
        """Remove a checkpoint, if it is there; it loses its name first, so that half of it is never found."""
        if path.exists():
            gone = self.directory / f".old-{self._attempt}-{path.name}-{os.urandom(4).hex()}"
            path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def _complete(self, path: Path) -> bool:
        try:
            read(path, hashes=False)
        except Damaged:
            return False
        return path not in self._bad


class Run:
    """One run of a training script, as the job's environment describes it.

    Args:
        checkpoints: default ``$PCINFRA_CHECKPOINTS``, else ``checkpoints`` in the working directory.
        keep: how many checkpoints to keep.
        group: the processes; default: see :func:`find_group`.
    """

    def __init__(
        self,
        checkpoints: str | Path | None = None,
        *,
        keep: int = 3,
        group: Group | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        directory = Path(checkpoints or environ.get("PCINFRA_CHECKPOINTS") or "checkpoints").absolute()
        folder = environ.get("PCINFRA_RUN_DIR")
        self.attempt = int(environ.get("PCINFRA_ATTEMPT") or 0)
        self.group = group or find_group(directory, environ)
        self.checkpoints = Checkpoints(directory, keep, self.group, self.attempt)
        self._folder = Path(folder) if folder else None
        stop, done = environ.get("PCINFRA_STOP_FILE"), environ.get("PCINFRA_DONE_FILE")
        self.stop_file = Path(stop) if stop else None
        self.done_file = Path(done) if done else self._folder / "DONE" if self._folder else None

    def newest(self) -> Checkpoint | None:
        """See :meth:`Checkpoints.newest`."""
        return self.checkpoints.newest()

    def save(self, step: int, write: Callable[[Path], Any], **options: Any) -> Checkpoint:
        """See :meth:`Checkpoints.save`. The run's report learns of it."""
        made = self.checkpoints.save(step, write, **options)
        if self.group.rank == 0 and self._folder:
            line = {"attempt": self.attempt, "time": round(time.time(), 3), "step": step}
            with (self._folder / "checkpoints.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
        return made

    def stopping(self) -> bool:
        """Return whether the job is to stop soon, the same on every rank: save, and end with status 0."""
        return self.group.agree(self.stop_file is not None and self.stop_file.exists())

    def done(self) -> None:
        """Say that the run has done all it had to do: it is not started again."""
        self.group.share("")
        if self.group.rank == 0 and self.done_file:
            _replace(self.done_file, f"{time.time():.3f}\n")


def torch_writer(**parts: Any) -> Callable[[Path], None]:
    """Return what ``save`` calls to keep ``parts`` with torch.save: the ``state_dict()`` of each that has one.

    Of a model in DistributedDataParallel give ``model.module``.
    """

    def write(directory: Path) -> None:
        import torch

        states = {name: part.state_dict() if hasattr(part, "state_dict") else part for name, part in parts.items()}
        torch.save(states, directory / "state.pt")

    return write


def torch_load(checkpoint: Checkpoint, device: Any = "cpu", **parts: Any) -> Mapping[str, Any]:
    """Load what :func:`torch_writer` kept into ``parts``, and return all of it."""
    import torch

    states: Mapping[str, Any] = torch.load(checkpoint.path / "state.pt", map_location=device, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(states[name])
    return states


def read(path: Path, *, hashes: bool = True) -> Checkpoint:
    """Return the checkpoint at ``path`` when it fits its manifest: sizes, and where asked for, hashes.

    Raises:
        Damaged: it does not.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        step, meta, files = manifest["step"], manifest["meta"], dict(manifest["files"])
        expected = {str(name): (each["size"], each["sha256"]) for name, each in files.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"no manifest that can be read ({type(error).__name__})") from None
    if path.name != f"step-{step}":
        raise Damaged(f"its manifest is that of step {step}")
    for name, (size, _) in expected.items():
        file = path / name
        if not file.is_file() or file.stat().st_size != size:
            raise Damaged(f"{name} is missing or has not its {size} bytes")
    if hashes:
        _compare(path, expected)
    return Checkpoint(step, path, meta)


def _compare(path: Path, expected: Mapping[str, tuple[int, str]]) -> None:
    try:
        found = _hashes(path, [path / name for name in expected])
    except OSError as error:
        raise Damaged(f"cannot be read: {error.strerror}") from None
    for name, (_, digest) in expected.items():
        if found[name]["sha256"] != digest:
            raise Damaged(f"{name} has other content than was written")


def _files(folder: Path) -> list[Path]:
    return [Path(place) / name for place, _, names in os.walk(folder) for name in names if name != MANIFEST]


def _hashes(folder: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return size and hash of each file by its path below ``folder``. hashlib lets other threads run."""
    paths = list(files)
    with ThreadPoolExecutor(min(_THREADS, len(paths)) or 1) as pool:
        return dict(zip((str(path.relative_to(folder)) for path in paths), pool.map(_hash, paths), strict=True))


def _hash(file: Path) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as stream:
        while piece := stream.read(8 << 20):
            digest.update(piece)
            size += len(piece)
    return {"size": size, "sha256": digest.hexdigest()}


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(file: Path, text: str, *, flush: bool = True) -> None:
    """Write a file that is complete or not there."""
    new = file.with_name(f".{file.name}.{os.getpid()}")
    with new.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        if flush:
            os.fsync(stream.fileno())
    new.replace(file)

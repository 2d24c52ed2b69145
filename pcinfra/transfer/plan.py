"""What has to be moved and deleted, from what is on both sides. Pure: nothing is read here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pcinfra.transfer.compare import Verdict, compare
from pcinfra.transfer.model import Local, LocalFile, Problem, Remote, RemoteFile, Step, StepKind, TransferPlan
from pcinfra.transfer.names import unfit_for_file, unfit_for_key


def plan_push(here: Local, there: Remote, prefix: str, *, delete: bool = False, thorough: bool = False) -> TransferPlan:
    """Return what makes ``prefix`` hold what is here. Nothing is deleted there without ``delete``.

    Nor when part of the directory could not be read: what is not seen is not gone.
    """
    unfit = _unfit(here.files, lambda name: unfit_for_key(name, prefix))
    moves, same = _moves(_Side(here, there, StepKind.SEND, thorough), unfit)
    problems = [*here.problems, *unfit.values()]
    unseen = any(not problem.harmless for problem in here.problems)
    if delete and unseen:
        problems.append(Problem("", "nothing is deleted in S3, because part of the directory could not be read"))
    extra = sorted(there.files.keys() - here.files.keys()) if delete and not unseen else []
    deletions = [Step(StepKind.DELETE_REMOTE, n, there.files[n].size, "is not here", there.files[n]) for n in extra]
    return TransferPlan((*moves, *deletions), same, tuple(problems))


def plan_pull(here: Local, there: Remote, *, delete: bool = False, thorough: bool = False) -> TransferPlan:
    """Return what makes the directory hold what is below the prefix. Nothing is deleted here without ``delete``."""
    unfit = _unfit(there.files, unfit_for_file)
    unfit |= _shadowed(there.files)
    moves, same = _moves(_Side(here, there, StepKind.FETCH, thorough), unfit)
    extra = sorted(here.files.keys() - there.files.keys()) if delete else []
    deletions = [Step(StepKind.DELETE_LOCAL, name, here.files[name].size, "is not in S3") for name in extra]
    unread = [problem for problem in here.problems if not problem.harmless]
    return TransferPlan((*moves, *deletions), same, (*there.problems, *unread, *unfit.values()))


@dataclass(frozen=True, slots=True)
class _Side:
    here: Local
    there: Remote
    kind: StepKind
    thorough: bool

    @property
    def source(self) -> Mapping[str, LocalFile] | Mapping[str, RemoteFile]:
        return self.here.files if self.kind is StepKind.SEND else self.there.files


def _moves(side: _Side, unfit: Mapping[str, Problem]) -> tuple[list[Step], int]:
    """Return the files to move, in order of names, and the number of those that are equal."""
    steps, same = [], 0
    pushing = side.kind is StepKind.SEND
    place = "S3" if pushing else "the directory"
    for name in sorted(side.source.keys() - unfit.keys()):
        here, there = side.here.files.get(name), side.there.files.get(name)
        size = side.source[name].size
        if here is None or there is None:
            steps.append(Step(side.kind, name, size, f"is not in {place}", there))
            continue
        verdict = compare(here, there, side.there.skew, pushing, side.thorough)
        if verdict is Verdict.SAME:
            same += 1
        else:
            why = "sizes differ" if verdict is Verdict.DIFFERENT else "contents differ"
            steps.append(Step(side.kind, name, size, why, there, verdict is Verdict.DOUBTFUL))
    return steps, same


def _unfit(names: Mapping[str, object], judge: Callable[[str], str]) -> dict[str, Problem]:
    return {name: Problem(name, why) for name in names if (why := judge(name))}


def _shadowed(names: Mapping[str, object]) -> dict[str, Problem]:
    """Return the keys that are both an object and a directory of others: no file can be both."""
    directories = {directory for name in names for directory in _above(name)}
    why = "is an object, and other keys have it as their directory"
    return {name: Problem(name, why) for name in names if name in directories}


def _above(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name

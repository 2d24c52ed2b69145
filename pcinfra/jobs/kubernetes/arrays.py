"""Where a run stands whose tasks are jobs of their own: one Status of many, as Slurm's arrays have it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pcinfra.jobs.kubernetes import phase
from pcinfra.jobs.kubernetes.reading import Found, Object, about
from pcinfra.jobs.launcher import State, Status, Tasks

_FIRST = (State.RUNNING, State.STARTING, State.ENDING, State.WAITING, State.UNKNOWN)
_LAST = (State.FAILED, State.TIMEOUT, State.LOST, State.CANCELLED, State.DONE)
DELETED = 143  # exit code of what was deleted


def status_of(found: Found, pods: Sequence[Object] = (), events: Iterable[Object] = ()) -> Status:
    """Return where a run stands.

    Args:
        pods: of all its jobs; without them only the jobs' own word counts.
        events: of its jobs and pods.
    """
    if found.tasks is None:
        return phase.status_of(found.kind, found.first, pods, events)
    listed = list(events)
    statuses = []
    for job in found.jobs:
        name = str(job["metadata"]["name"])
        own = [pod for pod in pods if (pod["metadata"].get("labels") or {}).get(found.kind.pods) == name]
        statuses.append(phase.status_of(found.kind, job, own, [event for event in listed if about(event, name)]))
    return together(found.run, found.tasks, statuses)


def together(run: str, tasks: int, statuses: Sequence[Status]) -> Status:
    """Return the Status of an array: it runs while one task runs, and has failed when all have ended and one failed.

    Args:
        tasks: how many there were; those that are not among ``statuses`` have been deleted, or were never made.
    """
    gone = tasks - len(statuses)
    states = Counter(each.state for each in statuses)
    alive = next((state for state in _FIRST if states[state]), None)
    ended = next((state for state in _LAST if states[state] or (state is State.CANCELLED and gone)), State.DONE)
    state = alive or ended
    codes = [each.exit_code or 0 for each in statuses] + [DELETED] * (gone > 0 and not states[State.FAILED])
    best = next(each for each in statuses if each.state is state) if states[state] else statuses[0]
    return replace(
        best,
        run=run,
        state=state,
        job=statuses[0].job,
        why="; ".join(filter(None, (_counted(states, gone, tasks), best.why))),
        nodes=",".join(sorted({node for each in statuses for node in each.nodes.split(",") if node})),
        exit_code=None if alive else max(codes),
        submitted=min(each.submitted for each in statuses),
        attempts=(),
        tasks=_used(statuses),
    )


def _counted(states: Counter[State], gone: int, tasks: int) -> str:
    counts = [f"{states[state]} {state}" for state in (*_FIRST, *_LAST) if states[state]]
    return f"of {tasks} tasks " + ", ".join([*counts, *([f"{gone} not there"] if gone else [])])


def _used(statuses: Sequence[Status]) -> Tasks:
    attempts = [attempt for each in statuses for attempt in each.attempts]
    ended = [each for each in attempts if each.ended is not None]
    alive = [each for each in attempts if each.ended is None]
    return Tasks(
        begun=max(len(attempts), sum(each.state is not State.WAITING for each in statuses)),
        node_seconds=sum(each.seconds(0) * each.count for each in ended),
        gpu_seconds=sum(each.seconds(0) * each.count * each.gpus for each in ended),
        nodes=sum(each.count for each in alive),
        gpus=sum(each.count * each.gpus for each in alive),
        node_starts=sum(each.started * each.count for each in alive),
        gpu_starts=sum(each.started * each.count * each.gpus for each in alive),
    )

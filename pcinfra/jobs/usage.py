"""What a run has used so far. Pure: values in, values out.

An attempt counts from the moment at which it had its nodes to the moment at which it gave them back, with all nodes and
all GPUs of theirs that it had, whatever became of it.
"""

from __future__ import annotations

from pcinfra.jobs.launcher import Attempt, Status, Tasks

HOUR = 3600.0


def elapsed(status: Status, now: float) -> float:
    """Return the seconds for which the run had its nodes, in all its attempts."""
    return sum(attempt.seconds(_until(status, attempt, now)) for attempt in status.attempts)


def gpu_hours(status: Status, now: float) -> float:
    """Return GPUs times hours, in all attempts."""
    of_tasks = _tasks(status, now)[1] if status.tasks else 0.0
    return of_tasks + sum(hours(status, attempt, now) * attempt.gpus for attempt in status.attempts)


def task_hours(status: Status, now: float) -> float:
    """Return nodes times hours of the tasks of an array."""
    return _tasks(status, now)[0]


def _tasks(status: Status, now: float) -> tuple[float, float]:
    """Return nodes and GPUs times hours. What has neither ended nor goes on, because its node died, does not count."""
    tasks = status.tasks or Tasks()
    nodes, gpus = tasks.node_seconds, tasks.gpu_seconds
    if not status.state.ended:
        nodes += now * tasks.nodes - tasks.node_starts
        gpus += now * tasks.gpus - tasks.gpu_starts
    return max(nodes, 0.0) / HOUR, max(gpus, 0.0) / HOUR


def hours(status: Status, attempt: Attempt, now: float) -> float:
    """Return nodes times hours of one attempt."""
    return attempt.seconds(_until(status, attempt, now)) * attempt.count / HOUR


def gpus(status: Status) -> int:
    """Return the GPUs that the last attempt had, on all its nodes; of an array, those that its tasks have now."""
    if status.tasks:
        return 0 if status.state.ended else status.tasks.gpus
    last = status.attempts[-1] if status.attempts else None
    return last.gpus * last.count if last else 0


def _until(status: Status, attempt: Attempt, now: float) -> float:
    """Return what ``now`` is to an attempt: one whose end nobody knows does not go on after the run has ended."""
    goes_on = attempt is status.attempts[-1] and not status.state.ended
    return now if goes_on else attempt.ended or attempt.started

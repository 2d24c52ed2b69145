"""Carries out a transfer: many files at a time, deletions last."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from pcinfra.errors import CloudError, CredentialsError, Interrupted
from pcinfra.transfer import bucket
from pcinfra.transfer.fetch import fetch, parent
from pcinfra.transfer.http import Http
from pcinfra.transfer.model import Meter, Outcome, Problem, Step, StepKind, Stopped, TransferPlan
from pcinfra.transfer.send import send

THREADS = 32
GIVE_UP = 20  # refusals by S3 after which the rest is not tried


@dataclass
class Summary:
    """What became of a plan. ``sizes`` in bytes, ``seconds`` of wall time."""

    moved: int = 0
    moved_size: int = 0
    reused_size: int = 0
    unverified: int = 0
    deleted: int = 0
    same: int = 0
    seconds: float = 0.0
    problems: list[Problem] = field(default_factory=list)

    @property
    def failures(self) -> list[Problem]:
        return sorted(problem for problem in self.problems if not problem.harmless)

    def take(self, outcome: Outcome) -> None:
        if outcome.problem:
            self.problems.append(outcome.problem)
        elif outcome.step.kind in (StepKind.DELETE_LOCAL, StepKind.DELETE_REMOTE):
            self.deleted += 1
        else:
            self.moved += 1
            self.moved_size += outcome.step.size
            self.reused_size += outcome.reused
            self.unverified += not outcome.verified


@dataclass(frozen=True, slots=True)
class Mover:
    """What every step needs to know."""

    http: Http
    directory: Path
    prefix: str
    meter: Meter
    follow: bool = False

    def do(self, step: Step) -> Outcome:
        """Carry out ``step``."""
        if step.kind is StepKind.SEND:
            return send(self.http, self.directory, step, self.prefix, self.meter, self.follow)
        if step.kind is StepKind.FETCH:
            return fetch(self.http, self.directory, step, self.prefix, self.meter)
        if step.kind is StepKind.DELETE_REMOTE:
            bucket.delete(self.http, self.prefix + step.name).result()
            return Outcome(step)
        return self._delete_local(step)

    def _delete_local(self, step: Step) -> Outcome:
        try:
            with parent(self.directory, step.name) as (folder, last):
                os.unlink(last, dir_fd=folder)
        except FileNotFoundError:
            return Outcome(step)
        except OSError as error:
            return Outcome(step, Problem(step.name, error.strerror or str(error)))
        return Outcome(step)


def run(plan: TransferPlan, mover: Mover, threads: int = THREADS) -> Summary:
    """Carry out ``plan`` and return what became of it. A file that fails does not stop the others.

    Raises:
        CredentialsError: the credentials have ended.
        Interrupted: Ctrl-C; the parts of files that are under way are left to finish.
    """
    summary = Summary(same=plan.same, problems=list(plan.problems))
    _Run(mover, summary, threads).to_end(plan)
    summary.seconds = mover.meter.seconds
    return summary


@dataclass(slots=True)
class _Run:
    mover: Mover
    summary: Summary
    threads: int
    refusals: int = 0
    fatal: CredentialsError | None = None

    def to_end(self, plan: TransferPlan) -> None:
        pool = ThreadPoolExecutor(self.threads)
        try:
            self._all(pool, plan.moves)
            self._all(pool, plan.deletions)
        except KeyboardInterrupt:
            self.mover.meter.stop.set()
            raise Interrupted(
                f"interrupted; {self.summary.moved} file(s) are done",
                hint="the same command again; it goes on where it stopped",
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)
        if self.fatal:
            raise self.fatal

    def _all(self, pool: ThreadPoolExecutor, steps: tuple[Step, ...]) -> None:
        work: Callable[[Step], Outcome | None] = self._one
        futures: list[Future[Outcome | None]] = [pool.submit(work, step) for step in steps]
        for future in as_completed(futures):
            outcome = future.result()
            if outcome:
                self.summary.take(outcome)

    def _one(self, step: Step) -> Outcome | None:
        try:
            self.mover.meter.check()
            outcome = self.mover.do(step)
        except Stopped:
            return Outcome(step, Problem(step.name, "not done any more"))
        except CredentialsError as error:
            self.fatal = error
            self.mover.meter.stop.set()
            return None
        except CloudError as error:
            outcome = Outcome(step, Problem(step.name, error.why))
            self.refusals += 1
            if self.refusals >= GIVE_UP:
                self.mover.meter.stop.set()
        self.mover.meter.add_file()
        return outcome

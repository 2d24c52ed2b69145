"""The thread that moves files between Lustre and S3: automatic import and export, and data repository tasks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from pcinfra.localcloud.gate import turn
from pcinfra.localcloud.services.fsx import work
from pcinfra.localcloud.services.fsx.associations import trouble_of
from pcinfra.localcloud.services.fsx.automatic import Queue, follow
from pcinfra.localcloud.services.fsx.backend import FsxBackend, backends
from pcinfra.localcloud.services.fsx.metrics import Ages
from pcinfra.localcloud.services.fsx.model import Association, Task
from pcinfra.localcloud.services.fsx.storage import Storage
from pcinfra.localcloud.services.fsx.transfer import Link
from pcinfra.localcloud.services.fsx.tree import Unfollowable

PERIOD = 0.2
"""Least seconds between two looks at everything."""

SHARE = 10
"""A look that found nothing is followed by a pause of this many times its duration: large directories cost little."""

MOST = 10.0
"""Most seconds between two looks."""

STOP_TIMEOUT = 10.0

_LOG = logging.getLogger(__name__)


class Mover:
    """One thread for all file systems, so that nothing is moved twice at a time.

    Args:
        touched: called after every change of what is kept.
    """

    def __init__(self, storage: Storage, touched: Callable[[], None]) -> None:
        self._storage = storage
        self._touched = touched
        self._end = threading.Event()
        self._queues: dict[str, Queue] = {}
        self._ages = Ages()
        self._complaints: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run, name="fsx-mover", daemon=True)

    def start(self) -> None:
        self._storage.forget_partial()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what it has not moved yet, the next start moves."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT)

    def _run(self) -> None:
        pause = PERIOD
        while not self._end.wait(pause):
            began, changed = time.monotonic(), False
            try:
                changed = self._look()
            except Exception:  # the next look tries again
                _LOG.exception("Lustre and S3 cannot be compared")
            pause = PERIOD if changed else min(MOST, max(PERIOD, SHARE * (time.monotonic() - began)))

    def _look(self) -> bool:
        """Return whether anything was found to be different."""
        changed = False
        for _, _, backend in list(backends.iter_backends()):
            assert isinstance(backend, FsxBackend)
            changed |= self._look_at(backend)
        self._storage.clean()
        if changed:
            self._touched()
        return changed

    def _look_at(self, backend: FsxBackend) -> bool:
        with turn("fsx.look"):
            backend.forget_gone()
            tasks = [task for task in backend.tasks.values() if task.due]
            active = [a for a in backend.associations.values() if a.lifecycle in ("AVAILABLE", "UPDATING")]
        for task in tasks:
            self._work(backend, task)
        changed = bool(tasks)
        for association in active:
            changed |= self._follow(backend, association)
        return self._publish(backend, active) or changed

    def _work(self, backend: FsxBackend, task: Task) -> None:
        linked = [a for a in backend.associations.values() if a.file_system == task.file_system]
        work.run(task, [Link.of(association, self._storage, self._end.is_set) for association in linked])

    def _follow(self, backend: FsxBackend, association: Association) -> bool:
        queue = self._queues.setdefault(association.id, Queue())
        misconfigured = bool(trouble_of(backend, association))
        try:
            link = Link.of(association, self._storage, self._end.is_set)
            return follow(link, queue, misconfigured=misconfigured)
        except Exception as error:  # one association must not stop the others
            self._complain(association, error)
            return False

    def _complain(self, association: Association, error: Exception) -> None:
        """Once for every reason, not five times a second."""
        if self._complaints.get(association.id) != repr(error):
            self._complaints[association.id] = repr(error)
            _LOG.error(
                "%s is not followed: %r", association.id, error, exc_info=not isinstance(error, Unfollowable | OSError)
            )

    def _publish(self, backend: FsxBackend, associations: list[Association]) -> bool:
        ages: dict[str, float] = {}
        for association in associations:
            if association.events("AutoExportPolicy"):
                age = self._queues.get(association.id, Queue()).age
                ages[association.file_system] = max(age, ages.get(association.file_system, 0.0))
        published = [self._ages.publish(backend.account_id, backend.region_name, *each) for each in ages.items()]
        return any(published)

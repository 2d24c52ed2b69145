"""The lock that makes every API call atomic.

moto is not safe for threads: two creations at once can both pass the "does it exist" check. AWS's own calls are atomic,
and so a call takes this lock, whether it came over HTTP or from a part of the local cloud. A snapshot of the state
takes it too, so that what is saved is never half of a call.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 5.0
"""Seconds that a call waits for its turn. After them it goes ahead: better two at once than none."""

LOCK = threading.RLock()
"""Whoever changes a backend outside of a call takes it. A call that holds it waits for no other thread."""

_LOG = logging.getLogger(__name__)


@contextmanager
def turn(who: str) -> Iterator[None]:
    """Hold the lock for the block. Re-entrant: a call may make other calls, in its own thread.

    Args:
        who: the call, for the log, should its turn not come within :data:`PATIENCE`.
    """
    mine = LOCK.acquire(timeout=PATIENCE)
    if not mine:
        _LOG.warning("%s did not get its turn within %g s: some call waits for another thread", who, PATIENCE)
    try:
        yield
    finally:
        if mine:
            LOCK.release()

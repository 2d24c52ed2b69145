"""Life cycles by the clock: a resource knows when it will be ready and when it will be gone; nothing has to tick."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass, field


def delay() -> float:
    """Seconds that a resource takes to come and to go; PCINFRA_LOCAL_DELAY sets them. AWS takes minutes."""
    return float(os.environ.get("PCINFRA_LOCAL_DELAY", "0.5"))


def new_id(prefix: str) -> str:
    """Return an id as AWS makes them now: 17 hexadecimal digits."""
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


@dataclass
class Timed:
    """Something that is made, changed and removed, each of which takes :func:`delay`."""

    created: float = field(default_factory=time.time)
    ready_at: float = field(default_factory=lambda: time.time() + delay())
    updating_until: float = 0.0
    gone_at: float | None = None

    @property
    def lifecycle(self) -> str:
        """CREATING, AVAILABLE, UPDATING or DELETING."""
        now = time.time()
        if self.gone_at is not None:
            return "DELETING"
        if now < self.ready_at:
            return "CREATING"
        return "UPDATING" if now < self.updating_until else "AVAILABLE"

    @property
    def gone(self) -> bool:
        return self.gone_at is not None and time.time() >= self.gone_at

    def begin_update(self) -> None:
        self.updating_until = time.time() + delay()

    def begin_removal(self) -> None:
        if self.gone_at is None:
            self.gone_at = time.time() + delay()

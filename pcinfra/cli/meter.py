"""The progress of a transfer on standard error: one live line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pcinfra.transfer import Meter

LIVE, PLAIN = 0.2, 10.0  # seconds between two lines


@contextmanager
def shown(meter: Meter) -> Iterator[None]:
    """Show ``meter`` for the time of a block."""
    stop = threading.Event()
    terminal = sys.stderr.isatty()
    thread = threading.Thread(target=_show, args=(meter, stop, terminal), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _show(meter: Meter, stop: threading.Event, terminal: bool) -> None:
    while not stop.wait(LIVE if terminal else PLAIN):
        end, start = ("", "\r\x1b[2K") if terminal else ("\n", "")
        sys.stderr.write(f"{start}{line(meter)}{end}")
        sys.stderr.flush()
    if terminal:
        sys.stderr.write("\r\x1b[2K")
        sys.stderr.flush()


def line(meter: Meter) -> str:
    """Return where the transfer is: files, bytes, rate, time left."""
    from pcinfra.ui import duration

    left = meter.left
    rest = "" if left is None else f"  {duration(left)} left"
    files = f"{meter.done_files:,}/{meter.files:,} files"
    return f"{files}  {size(meter.done_size)} of {size(meter.size)}  {size(meter.rate)}/s{rest}"


def size(count: float) -> str:
    """Return ``count`` bytes as ``12 B``, ``1.5 KiB``, ``2.0 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"

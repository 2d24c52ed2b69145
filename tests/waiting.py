"""How tests wait: for what happens, and never for a time."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 120.0  # seconds. Only a test that fails waits so long, and a busy machine gets there in the end.


def until(look: Callable[[], T], pause: float = 0.05) -> T:
    """Return the first answer of ``look`` that is true, asked every ``pause`` seconds; fail with its source."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, f"never true: {source(look)}"
        time.sleep(pause)
    return found


def until_equal(ask: Callable[[], Any], wanted: Any) -> None:
    """Wait until ``ask`` returns ``wanted``; fail with what it returned last."""
    end = time.monotonic() + PATIENCE
    while (found := ask()) != wanted:
        assert time.monotonic() < end, found
        time.sleep(0.05)


def source(look: Callable[[], Any]) -> str:
    """The text of a lambda; a bound method of a built-in class has none."""
    try:
        return inspect.getsource(look).strip()
    except TypeError:
        return repr(look)

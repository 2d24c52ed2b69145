"""The one way in which moto is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def put(owner: Any, **functions: Callable[..., Any]) -> None:
    """Put functions in the place of those of a class or module of moto, or beside them."""
    for name, function in functions.items():
        setattr(owner, name, function)

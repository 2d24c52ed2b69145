"""How the tests of this folder ask and wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError


def refusal(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    """Return code and message of the error that the call must end in."""
    with pytest.raises(ClientError) as raised:
        call(**request)
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


def eventually(ask: Callable[[], Any], wanted: Any, seconds: float = 10.0) -> None:
    """Wait until ``ask`` returns ``wanted``; fail with what it returned last."""
    deadline = time.monotonic() + seconds
    while (found := ask()) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)

"""What a call's own name says of it."""

from __future__ import annotations

import pytest

from pcinfra.localcloud.answers import Call


@pytest.mark.parametrize(
    ("action", "reads"),
    [
        ("DescribeInstances", True),
        ("GetCommandInvocation", True),
        ("ListStacks", True),
        ("GET /bucket/key", True),
        ("HEAD /bucket", True),
        ("RunInstances", False),
        ("SendCommand", False),
        ("PUT /bucket/key", False),
        ("POST /bucket", False),
        ("", False),
    ],
)
def test_what_only_reads_is_known_by_its_name(action: str, reads: bool) -> None:
    assert Call("any", action, "json").reads is reads

"""Opens sessions: by AWS's plug-in where it is installed, or by ourselves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pcinfra.sessions import forwarding, plugin, stdio, terminal
from pcinfra.sessions.channel import Channel
from pcinfra.sessions.line import Account, SessionLine
from pcinfra.sessions.marks import Marks
from pcinfra.sessions.request import Request
from pcinfra.sessions.wire import Message
from pcinfra.shell import attach

if TYPE_CHECKING:
    from pcinfra.aws import Target
    from pcinfra.shell import Shell


def run(account: Account, target: Target, shell: Shell, request: Request, tell: Callable[[str], None]) -> int:
    """Open a session at this terminal, wait for its end and return its exit status.

    Args:
        tell: gets lines for the user.

    Raises:
        PcinfraError: it cannot be opened, or was ended by something else than its user.
    """
    if plugin.installed(shell):
        return attach(plugin.command(target, request), {**os.environ, **target.environment()})
    return run_here(account, request, tell)


def run_here(account: Account, request: Request, tell: Callable[[str], None]) -> int:
    """Open it without the plug-in; otherwise as :func:`run`."""
    if request.forwards:
        listener = forwarding.listen(request.forwards)
        return _opened(account, request, lambda opened: forwarding.forward(listener, opened, tell))
    if "portNumber" in request.parameters:
        return _opened(account, request, stdio.pass_through)
    if "command" not in request.parameters:
        return _opened(account, request, lambda opened: terminal.attach(opened, None))
    marks = Marks()
    piped = request.takes_pipe and not sys.stdin.isatty()
    marked = replace(request, parameters={"command": marks.around(request.parameters["command"], piped)})
    return _opened(account, marked, lambda opened: terminal.attach(opened, marks))


def _opened(account: Account, request: Request, use: Callable[[terminal.Opened], int]) -> int:
    """Start the session, and end it however its use ends."""
    line = SessionLine(account, request)

    made: list[Channel] = []

    def opened(handle: Callable[[Message], bool], wake: Callable[[], None]) -> Channel:
        made.append(Channel(line, handle, wake))
        return made[0]

    try:
        return use(opened)
    finally:
        if not (made and made[0].ended):
            line.terminate()

"""AWS's own client: the Session Manager plug-in of its command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pcinfra.aws import Target
    from pcinfra.sessions.request import Request
    from pcinfra.shell import Shell

PLUGIN = "session-manager-plugin"


def installed(shell: Shell) -> bool:
    """Return whether it can open sessions on this machine."""
    return bool(shell.which("aws") and shell.which(PLUGIN))


def command(target: Target, request: Request) -> list[str]:
    """Return the command that opens the session."""
    profile = ["--profile", target.profile] if target.profile else []
    start = ["aws", "ssm", "start-session", "--region", target.region, *profile, "--target", request.target]
    if not request.document:
        return start
    parameters = json.dumps({name: [value] for name, value in request.parameters.items()})
    return [*start, "--document-name", request.document, "--parameters", parameters]

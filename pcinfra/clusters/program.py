"""pcluster as a program that may be begun before it is known what it is asked.

Run as a module it imports what every command of pcluster imports, and what creating a cluster imports besides (CDK, in
a thread and a Node.js of its own, as pcluster's ``templates/import_cdk.py`` does); only then does it read its question:
one line of JSON, and behind it what ``/dev/stdin`` is for pcluster. Everything after that is pcluster's own ``main``.
Without a question it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pcinfra.shell import Shell

COMMAND = (sys.executable, "-m", "pcinfra.clusters.program")
CREATING = (*COMMAND, "create")


def environment() -> dict[str, str]:
    """Return what it is started with; the question brings the variables that pcluster sees."""
    # jsii then unpacks CDK's 40 packages once and not each time ("Runtime package cache" in its user guide).
    return {"JSII_RUNTIME_PACKAGE_CACHE": "enabled", **os.environ, "PYTHONWARNINGS": "ignore"}


def question(arguments: Sequence[str], variables: Mapping[str, str], stdin: str) -> str:
    """Return what to write to its standard input.

    Args:
        arguments: of pcluster.
        variables: the whole environment of pcluster.
    """
    return json.dumps({"arguments": list(arguments), "environment": dict(variables)}) + "\n" + stdin


def asked(text: str) -> tuple[tuple[str, ...], dict[str, str], str]:
    """Return arguments, environment and standard input out of a :func:`question`."""
    line, _, stdin = text.partition("\n")
    said = json.loads(line)
    return tuple(said["arguments"]), said["environment"], stdin


def begin(shell: Shell) -> None:
    """Start it for a creation that will be asked for in a moment, while there is other work."""
    if importlib.util.find_spec("pcluster") and shell.which("node"):
        shell.begin(CREATING, env=environment())


def main() -> None:
    from pcluster.cli import entrypoint

    if sys.argv[1:] == ["create"]:
        _import_cdk()
    line = _line()
    if not line:
        os._exit(0)  # whoever began it has ended, or does not need it
    arguments, variables, _ = asked(line)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["pcluster", *arguments]
    atexit.register(gc.freeze)  # a program that ends need not look for what it could free
    entrypoint.main()


def _import_cdk() -> None:
    """Versions of pcluster that do not import CDK ahead do it when they need it."""
    with contextlib.suppress(ImportError):
        from pcluster.templates.import_cdk import start

        start()


def _line() -> str:
    """Read one line and nothing behind it, which is pcluster's."""
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        return stdin.readline().decode()


if __name__ == "__main__":
    main()

"""A client of sessions in a process of its own: ``python -m tests.local.services.sessions URL INSTANCE WHAT...``.

What it is to open: ``shell``, ``command TEXT``, ``piped TEXT``, ``forward LOCAL PORT``, ``ssh PORT``.
"""

from __future__ import annotations

import sys

from pcinfra.aws import Aws, Target
from pcinfra.errors import PcinfraError
from pcinfra.sessions import Request, opening


def request(instance: str, what: str, *words: str) -> Request:
    match what:
        case "shell":
            return Request.shell(instance)
        case "command" | "piped":
            return Request.command(instance, words[0], takes_pipe=what == "piped")
        case "forward":
            return Request.forward(instance, int(words[0]), int(words[1]))
        case "ssh":
            return Request.ssh(instance, int(words[0]))
    raise AssertionError(what)


def main(url: str, *words: str) -> int:
    account = Aws(Target("us-east-1", url, credentials=("AKIAPCINFRALOCAL0000", "x")))
    try:
        return opening.run_here(account, request(*words), lambda line: print(line, file=sys.stderr, flush=True))
    except PcinfraError as error:
        print(error, file=sys.stderr)
        return 99


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

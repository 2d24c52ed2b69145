"""The background process: ``python -m pcinfra.localcloud.server DIRECTORY --port P --ready-fd N --lock-fd M``.

Order of a start: install what is ours over moto, take the saved state, listen, let unfinished work go on, say the
port to whoever waits. Order of an end, on SIGTERM: no more calls, machines stopped, state saved, pid file removed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pcinfra.errors import PcinfraError
from pcinfra.localcloud import CREDENTIALS, HOST, UNSAVED, identity

_LOG = logging.getLogger(__name__)
_LOOK = 2.0
"""Seconds between two looks at whether the pid file is still there."""


@dataclass(frozen=True, slots=True)
class _PidFile:
    pid: int
    started: str
    port: int
    since: float


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM; return the exit status."""
    arguments = _arguments(argv)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger(__name__).setLevel(logging.INFO)
    end = _listen_for_end()
    try:
        return _serve(arguments, end)
    except PcinfraError as error:
        (arguments.directory / "refused").write_text(f"{error.where}: {error.why}\n{error.hint}", encoding="utf-8")
        _LOG.error("%s", error)
        return 1


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="pcinfra-local-cloud")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ready-fd", type=int, required=True)
    parser.add_argument("--lock-fd", type=int, required=True)
    return parser.parse_args(argv)


def _listen_for_end() -> threading.Event:
    """SIGTERM ends the process in order; Ctrl-C and the end of a terminal are not for it."""
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return end


def _serve(arguments: argparse.Namespace, end: threading.Event) -> int:
    directory: Path = arguments.directory
    for descriptor in arguments.ready_fd, arguments.lock_fd:
        os.set_inheritable(descriptor, False)
    prepare_environment(directory)
    from pcinfra.localcloud.http import Application
    from pcinfra.localcloud.resources import count
    from pcinfra.localcloud.state import Keeper
    from pcinfra.localcloud.wiring import Cloud

    keeper = Keeper(directory, count)
    application = Application(keeper.touch, count)
    web = _bind(arguments.port, application)
    cloud = Cloud(directory, keeper.touch, lambda: int(web.port))
    application.asked = cloud.asked
    application.metadata = cloud.metadata.answer
    keeper.restore()
    os.environ["MOTO_PORT"] = str(web.port)
    threading.Thread(target=web.serve_forever, args=(0.05,), name="http", daemon=True).start()
    keeper.start()
    cloud.begin()
    pid_file = directory / "server.json"
    _write_pid_file(pid_file, web.port)
    _LOG.info("answering at http://%s:%d", HOST, web.port)
    _tell(arguments.ready_fd, web.port)
    os.close(arguments.lock_fd)
    _wait(end, pid_file)
    web.shutdown()
    web.server_close()
    if not end.is_set():
        _LOG.warning("%s is gone: nobody finds this process any more", pid_file)
        return 0
    cloud.end()
    try:
        keeper.close()
    except (OSError, PcinfraError) as error:
        _LOG.error(
            "%s%s", UNSAVED, error
        )  # the pid file stays: a sign for whoever stops us, for which no room is needed
        return 1
    pid_file.unlink(missing_ok=True)
    _LOG.info("stopped")
    return 0


def _wait(end: threading.Event, pid_file: Path) -> None:
    """Wait until ``end`` is set, or the pid file is gone or another's: so is the folder, and nobody finds us."""
    ours = pid_file.read_bytes()
    with contextlib.suppress(OSError):
        while not end.wait(_LOOK) and pid_file.read_bytes() == ours:
            pass


def prepare_environment(directory: Path) -> None:
    """Set what moto and boto3 read while they are imported. Nothing of the caller's AWS configuration counts."""
    from pcinfra.localcloud import amis

    for name in [name for name in os.environ if name.startswith(("AWS_", "MOTO_"))]:
        del os.environ[name]
    os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"] = CREDENTIALS
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"
    os.environ["MOTO_AMIS_PATH"] = str(amis.write(directory))


def _bind(port: int, application: Any) -> Any:
    """Listen on the port of last time, so that shells that know it go on working; on a free one if it is taken."""
    from werkzeug.serving import make_server

    from pcinfra.localcloud.http import Handler

    try:
        return make_server(HOST, port, application, threaded=True, request_handler=Handler)
    except (OSError, SystemExit):
        return make_server(HOST, 0, application, threaded=True, request_handler=Handler)


def _write_pid_file(path: Path, port: int) -> None:
    record = _PidFile(os.getpid(), identity.started(os.getpid()) or "", port, time.time())
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(asdict(record)), encoding="utf-8")
    partial.replace(path)


def _tell(ready: int, port: int) -> None:
    """Say the port to whoever waits. If nobody does any more, others find it by the pid file."""
    with contextlib.suppress(BrokenPipeError):
        os.write(ready, f"{port}\n".encode())
    os.close(ready)


if __name__ == "__main__":
    sys.exit(main())

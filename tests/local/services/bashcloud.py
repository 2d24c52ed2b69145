"""A process that serves the local cloud's services with this machine's own bash behind every instance.

``python -m tests.local.services.bashcloud DIRECTORY`` prints the port that it answers at, and ends with its stdin.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcinfra.localcloud.server import prepare_environment


@dataclass(frozen=True)
class Ended:
    status: int
    stdout: str
    stderr: str


class Bash:
    """A script in a process group of its own, its output in files."""

    def __init__(self, script: str, directory: str) -> None:
        self._stdout = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the script runs
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            ["bash", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=self._stderr,
            cwd=directory or "/",
            start_new_session=True,
        )

    def wait(self, timeout: float | None = None) -> Ended | None:
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        texts = []
        for file in (self._stdout, self._stderr):
            file.seek(0)
            texts.append(file.read().decode())
        return Ended(status if status >= 0 else 128 - status, *texts)

    def cancel(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)


class Machines:
    """Every instance is this machine, but those whose name is ``silent``."""

    def reaches(self, instance_id: str) -> bool:
        return instance_id not in self.silent()

    def silent(self) -> set[str]:
        from moto.ec2.models import ec2_backends

        instances = [i for r in ec2_backends["123456789012"]["us-east-1"].all_reservations() for i in r.instances]
        return {str(i.id) for i in instances if "silent" in [tag["value"] for tag in i.get_tags()]}

    def start_script(self, instance_id: str, script: str, directory: str) -> Any:
        return Bash(script, directory)

    def terminal(self, instance_id: str, command: str) -> list[str]:
        settings = ("env", "TERM=xterm", "PS1=$ ", f"PATH={os.environ['PATH']}", "setsid", "--ctty", "--wait")
        return [*settings, "sh", *(("-c", command) if command else ())]

    def dial(self, instance_id: str, host: str, port: int) -> socket.socket:
        return socket.create_connection((host or "127.0.0.1", port), timeout=10)


def main(directory: Path) -> None:
    prepare_environment(directory)
    from moto import mock_aws
    from werkzeug.serving import make_server

    from pcinfra.localcloud.http import Application, Handler
    from pcinfra.localcloud.services import ec2, s3, ssm, ssm_sessions

    ec2.install(lambda _ids: None)
    s3.install()
    ssm.install(Machines())
    sessions = ssm_sessions.install(Machines())
    mock_aws().start()
    web = make_server("127.0.0.1", 0, Application(lambda: None, dict), threaded=True, request_handler=Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    sys.stdout.write(f"{web.port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    sessions.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

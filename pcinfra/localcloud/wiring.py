"""Puts the services, CloudFormation and the machines together, in the process that serves them."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from pcinfra.localcloud import gate
from pcinfra.localcloud.services import ec2, fsx, iam, s3, ssm
from pcinfra.localcloud.services.standin import NoMachines

_LOG = logging.getLogger(__name__)


class Cloud:
    """All services of one directory, installed over moto in this process.

    Args:
        directory: where the machines keep their files.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        machines = NoMachines()
        iam.install()
        fsx.install()
        ec2.install(self._terminated)
        s3.install()
        ssm.install(machines)
        _answer_own_calls()

    def begin(self, url: str, *, restored: bool) -> None:
        """Let what was going on when the state was saved go on, now that calls are answered at ``url``."""
        if restored:
            ssm.fail_interrupted()

    def end(self) -> None:
        """End every command and stop every machine."""
        ssm.cancel_all()

    def _terminated(self, instance_ids: list[str]) -> None:
        """In a thread of its own: the call that terminates must not wait for machines."""
        threading.Thread(target=_LOG.debug, args=("terminated %s", instance_ids), daemon=True).start()


def _answer_own_calls() -> None:
    """Make boto3 calls of this process reach the services without a socket, each in its turn."""
    process = BotocoreStubber.process_request

    def in_turn(self: Any, request: Any) -> Any:
        with gate.turn(request.url):
            return process(self, request)

    BotocoreStubber.process_request = in_turn
    mock_aws().start()

"""Puts the services, CloudFormation and the machines together, in the process that serves them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.ec2.models.instance_types import INSTANCE_TYPES

from pcinfra.localcloud import ACCOUNT, cfn, gate
from pcinfra.localcloud.cfn import clients
from pcinfra.localcloud.cfn.backend import Backend
from pcinfra.localcloud.cfn.backend import backends as stacks
from pcinfra.localcloud.headnode import HeadNodes
from pcinfra.localcloud.metadata import Metadata
from pcinfra.localcloud.services import (
    cloudwatch,
    ec2,
    ec2_capacity,
    ec2_supply,
    ecr,
    fsx,
    iam,
    rds,
    s3,
    ssm,
    ssm_sessions,
)
from pcinfra.localcloud.services.patching import put

_LOG = logging.getLogger(__name__)


class Cloud:
    """All services of one directory, installed over moto in this process.

    Args:
        directory: where the machines keep their files.
        touched: called after every change that no call makes.
        port: returns the port that calls are answered at.
    """

    def __init__(self, directory: Path, touched: Callable[[], None], port: Callable[[], int]) -> None:
        self._touched = touched
        self._machines = HeadNodes(directory, _client, port)
        hooks = cfn.Hooks(
            wait_condition=self._machines.wait_condition,
            stack_deleted=self._machines.stack_deleted,
            mutated=touched,
        )
        cfn.install(hooks)
        iam.install()
        rds.install()
        storage = fsx.Storage(self._machines.file_systems)
        fsx.install(storage)
        self._mover = fsx.Mover(storage, touched)
        ec2.install(self._terminated)
        ecr.install()
        s3.install()
        cloudwatch.install()
        ssm.install(self._machines)
        self._sessions = ssm_sessions.install(self._machines)
        _answer_own_calls()

    @property
    def metadata(self) -> Metadata:
        """What machines ask their metadata service."""
        return self._machines.metadata

    def begin(self) -> None:
        """Let what was going on when the state was saved go on; calls are answered already."""
        ssm.fail_interrupted()
        self._mover.start()
        self._machines.start_all()
        self._machines.look_after()
        for _, _, backend in list(stacks.iter_backends()):
            assert isinstance(backend, Backend)
            backend.resume()

    def end(self) -> None:
        """End every command and stop every machine."""
        self._sessions.stop()
        ssm.cancel_all()
        self._mover.stop()
        self._machines.stop_all()

    def asked(self, path: str, body: bytes) -> bool:
        """Answer what is no call of AWS's: a program of a head node (``clusters/NAME/resume`` or ``suspend``, with one
        node a line), in how many seconds EC2 takes a Spot Instance (``interrupt/CLUSTER/NODE``), how many instances of
        a type there are (``capacity/TYPE``, the number or nothing), or in how many seconds nodes of a Capacity Block
        begin to be terminated (``reservations/ID``).
        """
        text = body.decode("utf-8", errors="replace")
        match path.split("/"):
            case ["clusters", name, what]:
                return self._machines.power.asked(name, what, text.split())
            case ["interrupt", cluster, node]:
                return self.metadata.interrupt(cluster, node, text)
            case ["capacity", kind]:
                return self._limit(kind, text)
            case ["reservations", identity]:
                return self._end_reservation(identity, text)
        return False

    def _end_reservation(self, identity: str, seconds: str) -> bool:
        """EC2 user guide, "Capacity Blocks for ML": instances are terminated from 30 minutes before the end on."""
        found = [held[identity] for held in ec2_capacity.everywhere() if identity in held]
        if not found or not (seconds.isascii() and seconds.isdigit()):
            return False
        early = timedelta(minutes=30) if found[0]["ReservationType"] == "capacity-block" else timedelta()
        with gate.turn("capacity"):
            found[0] |= {
                "EndDate": datetime.now(UTC) + timedelta(seconds=int(seconds)) + early,
                "EndDateType": "limited",
            }
        self._touched()
        return True

    def _limit(self, kind: str, count: str) -> bool:
        if kind not in INSTANCE_TYPES or (count and not (count.isascii() and count.isdigit())):
            return False
        with gate.turn("capacity"):
            ec2_supply.limits().pop(kind, None)
            if count:
                ec2_supply.limits()[kind] = int(count)
        self._touched()
        return True

    def _terminated(self, instance_ids: list[str]) -> None:
        """In a thread of its own: the call that terminates holds the gate and must not wait for machines."""
        threading.Thread(target=self._machines.terminated, args=(instance_ids,), daemon=True).start()


def _client(service: str, region: str) -> Any:
    return clients.clients(ACCOUNT, region)(service)


def _answer_own_calls() -> None:
    """Make boto3 calls of this process reach the services without a socket, each in its turn."""
    process = BotocoreStubber.process_request

    def in_turn(self: Any, request: Any) -> Any:
        with gate.turn(request.url):
            return process(self, request)

    put(BotocoreStubber, process_request=in_turn)
    mock_aws().start()

"""The instance metadata service of the machines, at http://169.254.169.254 of each, as far as jobs and SDKs ask it.

Version 2 alone, which is what ParallelCluster sets up: a token first, then every question with it. Sources: EC2 user
guide, "Use the Instance Metadata Service", "Instance metadata categories", "Instance identity documents", "Spot
Instance interruption notices", "EC2 instance rebalance recommendations".

A machine says who it is by the path under which its requests arrive here, which its supervisor puts before its own.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from pcinfra.errors import NotFound
from pcinfra.localcloud import ACCOUNT, computefleet
from pcinfra.localcloud.homes import Home, Homes

_LOG = logging.getLogger(__name__)

LONGEST: Final = 21600
"""Seconds that a token may live."""

_CHARACTERISTICS: Final = ("architecture", "imageId", "instanceId", "instanceType", "pendingTime", "privateIp")


@dataclass(slots=True)
class _Notice:
    """What EC2 has announced about an instance, and when; ``end``: when it is taken, 0: it may be, soon."""

    said: float
    end: float = 0.0


@dataclass(slots=True)
class Metadata:
    """The service for all machines of one local cloud.

    Args:
        homes: its clusters.
    """

    homes: Homes
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)
    _notices: dict[str, _Notice] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, header: Callable[[str], str]) -> tuple[int, str]:
        """Return status and text of the answer to a request of a machine.

        Args:
            path: ``CLUSTER/NODE/latest/...``.
            header: returns a header of the request by its name, empty when it is not there.
        """
        cluster, _, rest = path.partition("/")
        node, _, asked = rest.partition("/")
        if asked == "latest/api/token":
            return self._token(method, f"{cluster}/{node}", header)
        owner, until = self._tokens.get(header("X-aws-ec2-metadata-token"), ("", 0.0))
        if owner != f"{cluster}/{node}" or until < time.monotonic():
            return 401, ""
        if method != "GET":
            return 405, ""
        try:
            found = _Tree(self._described(cluster, node), self._notices).find(asked)
        except (NotFound, ClientError):
            found = None  # the instance is being terminated
        return (200, found) if found is not None else (404, "")

    def interrupt(self, cluster: str, node: str, text: str) -> bool:
        """Let EC2 announce that it takes the Spot Instance of a node in so many seconds, and take it then; ``soon``
        only recommends to leave it. Returns False when there is no such Spot Instance, or ``text`` is neither.
        """
        try:
            found = self._described(cluster, node)
        except (NotFound, ClientError):
            return False
        if found.get("InstanceLifecycle") != "spot" or not (text == "soon" or (text.isascii() and text.isdigit())):
            return False
        home, instance, now = self.homes.home(cluster), str(found["InstanceId"]), time.time()
        if text == "soon":
            self._notices[instance] = _Notice(now)
            return True
        self._notices[instance] = _Notice(now, now + int(text))
        taking = threading.Timer(int(text), self._take, (home, instance))
        taking.daemon = True
        taking.start()
        return True

    def _take(self, home: Home, instance: str) -> None:
        try:
            computefleet.terminate(home.client, list(computefleet.running(home.client, [instance])))
        except NotFound:
            _LOG.info("cluster %s is gone", home.name)
        except Exception:
            _LOG.exception("cluster %s: %s", home.name, instance)
        finally:
            self._notices.pop(instance, None)

    def _token(self, method: str, machine: str, header: Callable[[str], str]) -> tuple[int, str]:
        seconds = header("X-aws-ec2-metadata-token-ttl-seconds")
        if method != "PUT":
            return 405, ""
        if header("X-Forwarded-For"):
            return 403, ""
        if not (seconds.isascii() and seconds.isdigit() and 1 <= int(seconds) <= LONGEST):
            return 400, ""
        token, now = secrets.token_urlsafe(40), time.monotonic()
        with self._guard:
            self._tokens = {key: value for key, value in self._tokens.items() if value[1] > now}
            self._tokens[token] = (machine, now + int(seconds))
        return 200, token

    def _described(self, cluster: str, node: str) -> Mapping[str, Any]:
        home = self.homes.home(cluster)
        machines = home.machines
        instance = machines.head if node == home.cluster.spec.head.name else machines.nodes.get(node, "")
        if not instance:
            raise NotFound("no instance", where=node)
        answer = home.client("ec2").describe_instances(InstanceIds=[instance])
        found: Mapping[str, Any] = answer["Reservations"][0]["Instances"][0]
        return found


@dataclass(frozen=True, slots=True)
class _Tree:
    """What one instance is told."""

    instance: Mapping[str, Any]
    notices: Mapping[str, _Notice]

    def find(self, path: str) -> str | None:
        """Return the text at a path; of a category, the names in it, those of categories with a slash."""
        everything = {f"latest/{name}": text for name, text in self._texts().items()}
        if path in everything:
            return everything[path]
        top = path if path.endswith("/") else f"{path}/"
        below = {name.removeprefix(top) for name in everything if name.startswith(top)}
        names = {f"{name.partition('/')[0]}/" if "/" in name else name for name in below}
        return "\n".join(sorted(names)) or None

    def _texts(self) -> dict[str, str]:
        instance = self.instance
        zone = str(instance["Placement"]["AvailabilityZone"])
        meta = {
            "ami-id": instance["ImageId"],
            "instance-id": instance["InstanceId"],
            "instance-life-cycle": instance.get("InstanceLifecycle", "on-demand"),
            "instance-type": instance["InstanceType"],
            "local-hostname": instance.get("PrivateDnsName", ""),
            "local-ipv4": instance.get("PrivateIpAddress", ""),
            "placement/availability-zone": zone,
            "placement/region": zone[:-1],
            **self._announced(),
        }
        texts = {f"meta-data/{name}": str(text) for name, text in meta.items()}
        return texts | {"dynamic/instance-identity/document": self._identity(zone)}

    def _announced(self) -> dict[str, str]:
        notice = self.notices.get(str(self.instance["InstanceId"]))
        if notice is None:
            return {}
        told = {"events/recommendations/rebalance": json.dumps({"noticeTime": _time(notice.said)})}
        if notice.end:
            told["spot/instance-action"] = json.dumps({"action": "terminate", "time": _time(notice.end)})
            told["spot/termination-time"] = _time(notice.end)
        return told

    def _identity(self, zone: str) -> str:
        instance = self.instance
        values = (
            instance.get("Architecture", "x86_64"),
            instance["ImageId"],
            instance["InstanceId"],
            instance["InstanceType"],
            _time(instance["LaunchTime"].timestamp()),
            instance.get("PrivateIpAddress", ""),
        )
        document = {"accountId": ACCOUNT, "availabilityZone": zone, "region": zone[:-1], "version": "2017-09-30"}
        return json.dumps(document | dict(zip(_CHARACTERISTICS, values, strict=True)), indent=2, sort_keys=True)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

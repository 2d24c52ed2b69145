"""A cluster's custom actions (OnNodeStart, OnNodeConfigured): fetched from S3 and run on the node as it boots.

Sources: ParallelCluster user guide, "Custom bootstrap actions"; aws-parallelcluster-cookbook, ``fetch_and_run`` and
``custom_action_executor.py`` (order, texts of failures).
"""

from __future__ import annotations

import logging
import shlex
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pcinfra.localcloud.computefleet import Client

if TYPE_CHECKING:
    from pcinfra.localcloud.homes import Home

_LOG = logging.getLogger(__name__)

EVENTS = ("OnNodeStart", "OnNodeConfigured")

PLACE = "/var/spool/parallelcluster"
"""Where a node has its actions."""

_FOR_THE_IMAGE = "-enroot-pyxis-setup.sh"
"""End of the names of scripts that switch on what only ParallelCluster's image has: they are fetched, and not run."""

Seed = Mapping[str, bytes]
"""Files of a node by name."""


def seeds(home: Home, names: Iterable[str]) -> dict[str, Seed]:
    """Return what to put on each of these compute nodes before it boots."""
    compute = home.compute()
    return {name: seed(home.client, compute[name].queue.get("CustomActions")) for name in names if name in compute}


def seed(client: Client, actions: Mapping[str, Any] | None, log: str = "cloud-init-output.log") -> Seed:
    """Return the files that run ``actions``: one program for each event, and the scripts that it runs in turn.

    Args:
        log: file in ``/var/log`` of what they write.
    """
    files: dict[str, bytes] = {}
    for event in EVENTS:
        scripts = _scripts((actions or {}).get(event))
        if scripts:
            files[event] = _program(event, scripts, log).encode()
        for number, script in enumerate(scripts, 1):
            body = _fetch(client, script["Script"])
            if body is not None:
                files[f"{event}.{number}"] = body
    return files


def _scripts(event: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    """One script, or a Sequence of them."""
    if not event:
        return ()
    return event.get("Sequence") or [event]


def _fetch(client: Client, url: str) -> bytes | None:
    """Return the script; None when it cannot be had, and then its download fails on the node."""
    parsed = urllib.parse.urlsplit(url)
    if parsed.scheme != "s3":
        return None
    try:
        body = client("s3").get_object(Bucket=parsed.netloc, Key=parsed.path.lstrip("/"))["Body"].read()
    except ClientError as error:
        _LOG.warning("%s: %s", url, error)
        return None
    return bytes(body)


def _program(event: str, scripts: Sequence[Mapping[str, Any]], log: str) -> str:
    """Return the program that runs the scripts one after the other until one fails, and is not run twice."""
    done = f"{PLACE}/{event}.done"
    lines = [
        "#!/bin/bash",
        f"[[ -e {done} ]] && exit",
        "mkdir -p /var/log/parallelcluster",
        f"exec >>/var/log/{log} 2>&1 </dev/null",
        "export HOME=/root && cd",
        'failed() { echo "$1" | tee /var/log/parallelcluster/bootstrap_error_msg; exit 1; }',
    ]
    for number, script in enumerate(scripts, 1):
        lines += _run(event, number, script)
    return "\n".join([*lines, f"touch {done}", ""])


def _run(event: str, number: int, script: Mapping[str, Any]) -> list[str]:
    url, arguments = str(script["Script"]), [str(each) for each in script.get("Args") or []]
    file = f"{PLACE}/{event}.{number}"
    quoted, say = shlex.quote(url), shlex.quote(f"Failed to execute {event} script {number} {url}, return code: ")
    lost = f"Failed to download {event} script {number} {url}, return code: 1."
    if url.endswith(_FOR_THE_IMAGE):
        return [f"printf '%s: for ParallelCluster images only, not run here\\n' {quoted}"]
    return [
        f"[[ -e {file} ]] || failed {shlex.quote(lost)}",
        f"chmod 700 {file}",
        f"printf '%s: running %s\\n' {event} {quoted}",
        shlex.join([file, *arguments]),
        f"status=$?; ((status == 0)) || failed {say}$status.",
    ]

"""Makes a cluster what its configuration says: at its creation, and at every update.

What ParallelCluster's head node does when cfn-init and cfn-hup run its recipes: static nodes are launched, nodes that
are no longer wanted end, Slurm reads its new configuration, and jobs on nodes that stay go on.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pcinfra.errors import PcinfraError
from pcinfra.localcloud import CREDENTIALS, clustermgtd, computefleet, customactions
from pcinfra.localcloud.cfn.hooks import WaitCondition
from pcinfra.localcloud.computefleet import Instance
from pcinfra.localcloud.homes import Home
from pcinfra.localcloud.machines import Machines, NodesFailed
from pcinfra.localcloud.power import publish
from pcinfra.localcloud.slurm import accounting
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from pcinfra.localcloud.slurm.config import ComputeNode, cluster_spec, compute_nodes, database_name, instance_types
from pcinfra.localcloud.slurm.readiness import READY_TIMEOUT
from pcinfra.localcloud.slurm.spec import Node, Spec

_LOG = logging.getLogger(__name__)

STOPPED = ("STOP_REQUESTED", "STOPPING", "STOPPED")

_LOG_LINES = 200
_NOT_RUN = "custom actions are not run: without root a node has no file system of its own to run them in"
_COUNTS = ("MinCount", "MaxCount")


@dataclasses.dataclass(frozen=True, slots=True)
class Convergence:
    """One pass over one cluster.

    Args:
        file_system: returns where the content of a file system is that exists without the cluster.
        port: of the loopback, that the local cloud answers on.
    """

    home: Home
    condition: WaitCondition
    config: Mapping[str, Any]
    head: Instance
    file_system: Callable[[str], Path]
    port: int

    def run(self) -> None:
        """Raises whatever keeps the head node from being set up."""
        client, name = self.condition.client, self.home.name
        lines = [f"setting up the head node of {name}"]
        if database_name(self.config, name) and accounting.missing():
            lines.append(accounting.why_not())
            _LOG.warning("cluster %s: %s", name, lines[-1])
        computefleet.log(client, self._log_group, self.head, "cfn-init", lines)
        old = self.home.config if self.home.exists else None
        status = computefleet.status(client, name)
        before = Machines.read(self.home.directory) or Machines(self.condition.region, self.head.id, self._log_group)
        drained, ended = self._outdated(old, stopped=status in STOPPED)
        kept = self._kept(before, ended)
        self._end(before, kept)
        fresh = {} if status in STOPPED else self._launch(kept)
        nodes = {**kept, **fresh}
        instances = {node: instance.id for node, instance in nodes.items()}
        logins = {node: instance for node, instance in before.nodes.items() if node not in self._compute_names(old)}
        machines = Machines(self.condition.region, self.head.id, self._log_group, {**logins, **instances})
        self.home.keep_config(self.config)
        machines.write(self.home.directory)
        if self.condition.cancelled():
            raise PcinfraError("the operation was given up", where=name)
        spec = self._spec(nodes, stopped=status in STOPPED)
        computefleet.assign(client, name, nodes, (spec.head.name, self.head.address))
        try:
            self._apply(spec, fresh, first=old is None)
        finally:
            self._publish_logs(spec, nodes)
        self._drain(drained & set(nodes))
        computefleet.say(client, name, "RUNNING")

    @property
    def _log_group(self) -> str:
        group = str(self.condition.parameters.get("ClusterCWLogGroup") or "")
        return "" if group == "NONE" else group

    # -- which nodes stay -----------------------------------------------------------------------------------------

    def _outdated(self, old: Mapping[str, Any] | None, *, stopped: bool) -> tuple[set[str], set[str]]:
        """Return the nodes that may end their jobs before they are replaced, and those that are replaced at once.

        Source: user guide, QueueUpdateStrategy: DRAIN, TERMINATE, and COMPUTE_FLEET_STOP, which is the default.
        """
        wanted = {node.name: node for node in compute_nodes(self.config)}
        before = {node.name: node for node in compute_nodes(old)} if old else {}
        gone = set(before) - set(wanted)
        changed = {n for n in set(before) & set(wanted) if _launched_as(before[n]) != _launched_as(wanted[n])}
        settings = self.config["Scheduling"].get("SlurmSettings") or {}
        if settings.get("QueueUpdateStrategy") == "DRAIN" and not stopped:
            return changed, gone
        return set(), gone | changed

    def _kept(self, before: Machines, ended: set[str]) -> dict[str, Instance]:
        wanted = {node.name for node in compute_nodes(self.config)} - ended
        candidates = {node: instance for node, instance in before.nodes.items() if node in wanted}
        alive = computefleet.running(self.condition.client, list(candidates.values()))
        return {node: alive[instance] for node, instance in candidates.items() if instance in alive}

    def _end(self, before: Machines, kept: Mapping[str, Instance]) -> None:
        compute = self._compute_names(self.home.config if self.home.exists else None)
        gone = {n: i for n, i in before.nodes.items() if n not in kept and n in compute}
        if not gone:
            return
        before.moved(dict.fromkeys(gone, "")).write(self.home.directory)
        client = self.condition.client
        computefleet.terminate(client, list(computefleet.running(client, list(gone.values()))))
        computefleet.unassign(client, self.home.name, gone)

    def _compute_names(self, old: Mapping[str, Any] | None) -> set[str]:
        configs = [self.config, *([old] if old else [])]
        return {node.name for config in configs for node in compute_nodes(config)}

    def _launch(self, kept: Mapping[str, Instance]) -> dict[str, Instance]:
        """Launch the static nodes that are not there; when one cannot be had, terminate those that could."""
        started: dict[str, Instance] = {}
        client, name = self.condition.client, self.home.name
        missing = [node for node in compute_nodes(self.config) if not node.dynamic and node.name not in kept]
        try:
            for node in missing:
                started[node.name] = computefleet.launch(client, name, node)[0]
        except Exception as error:
            computefleet.terminate(client, [instance.id for instance in started.values()])
            raise NodesFailed(f"{node.name}: {error}") from error
        return started

    # -- Slurm ----------------------------------------------------------------------------------------------------

    def _spec(self, nodes: Mapping[str, Instance], *, stopped: bool) -> Spec:
        types = {
            each
            for queue in self.config["Scheduling"]["SlurmQueues"]
            for resource in queue["ComputeResources"]
            for each in instance_types(resource)
        }
        types |= {self.config["HeadNode"]["InstanceType"]}
        spec = cluster_spec(
            self.home.name,
            self.config,
            types=computefleet.instance_facts(self.condition.client, types),
            head_address=self.head.address,
            addresses={node: instance.address for node, instance in nodes.items()},
            stopped=stopped,
            database=database(self.home.name, self.config),
        )
        spec = dataclasses.replace(spec, logins=self._logins())
        return reachable(spec, str(self.config.get("Region") or "us-east-1"), self.port)

    def _logins(self) -> tuple[Node, ...]:
        """Login nodes are made by their own Auto Scaling group, before or after this."""
        return self.home.cluster.spec.logins if self.home.exists and self._described else ()

    @property
    def _described(self) -> bool:
        return (self.home.directory / "spec.json").exists()

    def _apply(self, spec: Spec, fresh: Iterable[str], *, first: bool) -> None:
        seeds = customactions.seeds(self.home, fresh)
        if first:
            actions = self.config["HeadNode"].get("CustomActions")
            seeds[spec.head.name] = customactions.seed(self.condition.client, actions, log="cfn-init.log")
        if any(seeds.values()) and os.geteuid() != 0:
            seeds = {}
            computefleet.log(self.condition.client, self._log_group, self.head, "cfn-init", [_NOT_RUN])
        patience = _patience(self.config, self.condition.timeout, any(seeds.values()))
        cluster = self.home.cluster if self._described else None
        storage = self._storage()
        same = cluster and (cluster.spec.shared, cluster.spec.database) == (spec.shared, spec.database)
        if cluster and same and cluster.up(spec.head.name):
            cluster.reconfigure(spec, storage, fresh=list(fresh), seeds=seeds, patience=patience)
        else:
            cluster = SlurmCluster.create(self.home.directory, spec, storage)
            cluster.start(fresh=list(fresh), seeds=seeds, patience=patience)

    def _storage(self) -> dict[str, Path]:
        """File systems of FSx and EFS: their content is kept by their id, for all who mount them, and for S3."""
        found = {}
        for storage in self.config.get("SharedStorage") or []:
            identity = _file_system_id(storage) or self._made_lustre(storage)
            if identity:
                mount = str(storage["MountDir"])
                found[mount if mount.startswith("/") else f"/{mount}"] = self.file_system(identity)
        return found

    def _made_lustre(self, storage: Mapping[str, Any]) -> str:
        """Return the id of the Lustre file system that the cluster's stack made; pcluster makes one at most."""
        if storage.get("StorageType") != "FsxLustre":
            return ""
        pages = (
            self.home.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.home.name)
        )
        rows = (row for page in pages for row in page["StackResourceSummaries"])
        made = (row["PhysicalResourceId"] for row in rows if row["ResourceType"] == "AWS::FSx::FileSystem")
        return next(made, "")

    def _drain(self, names: set[str]) -> None:
        commands = (["update", f"NodeName={n}", "State=DRAIN", f"Reason={clustermgtd.QUEUE_UPDATE}"] for n in names)
        self.home.cluster.control(*commands)

    def _publish_logs(self, spec: Spec, nodes: Mapping[str, Instance]) -> None:
        if not self._described:
            return
        paths, client, group = self.home.cluster.paths, self.condition.client, self._log_group
        for stream in ("slurmctld", "cfn-init"):
            lines = _last_lines(paths.node(spec.head.name, "log", f"{stream}.log"))
            computefleet.log(client, group, self.head, stream, lines)
        publish(self.home, "clustermgtd", [f"{node} is {instance.id}" for node, instance in nodes.items()])
        for node, instance in nodes.items():
            for stream in ("slurmd", "cloud-init-output"):
                lines = _last_lines(paths.node(node, "log", f"{stream}.log"))
                computefleet.log(client, group, instance, stream, lines)
            computefleet.log(client, group, instance, "computemgtd", [f"{node} is up"])


def database(name: str, config: Mapping[str, Any]) -> str:
    """Return the database of the cluster's accounting; empty when it wants none, or this machine lacks the programs."""
    return "" if accounting.missing() else database_name(config, name)


def reachable(spec: Spec, region: str, port: int) -> Spec:
    """Tell the nodes where the local cloud is now: its port may differ from that of its last start."""
    environment = {
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": CREDENTIALS[0],
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS[1],
        **({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"} if port else {}),
    }
    return dataclasses.replace(spec, endpoint=port, environment=environment)


def _launched_as(node: ComputeNode) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What of the configuration makes a node what it is; how many there are of it does not."""
    queue = {key: value for key, value in node.queue.items() if key != "ComputeResources"}
    return queue, {key: value for key, value in node.resource.items() if key not in _COUNTS}


def _patience(config: Mapping[str, Any], timeout: int, acting: bool) -> float:
    """Custom actions take as long as the configuration lets them; without any a node is up at once."""
    if not acting:
        return READY_TIMEOUT
    timeouts = (config.get("DevSettings") or {}).get("Timeouts") or {}
    return float(timeouts.get("HeadNodeBootstrapTimeout") or timeout or READY_TIMEOUT)


def _file_system_id(storage: Mapping[str, Any]) -> str:
    """Return the id of an existing file system; empty when the storage is made and deleted with the cluster."""
    for settings in (value for key, value in storage.items() if key.endswith("Settings")):
        for key in ("FileSystemId", "VolumeId"):
            if settings and settings.get(key):
                return str(settings[key])
    return ""


def _last_lines(path: Path) -> Sequence[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    except OSError:
        return []

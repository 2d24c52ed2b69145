"""The machines of the local cloud: what ParallelCluster's head node does once CloudFormation has started it.

A cluster is set up when its head node's WaitCondition is created, follows its configuration when the cluster is
updated, loses a node when its instance is terminated, and goes when its stack is gone. What each cluster consists of
is in its directory, so that another process finds it again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pcinfra.errors import NotFound, PcinfraError
from pcinfra.localcloud import CREDENTIALS, computefleet
from pcinfra.localcloud.computefleet import Client, Instance
from pcinfra.localcloud.machines import Machines, NodesFailed, SetupFailed, reason
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from pcinfra.localcloud.slurm.commands import Running
from pcinfra.localcloud.slurm.config import StaticNode, cluster_spec, instance_types, static_nodes
from pcinfra.localcloud.slurm.spec import Spec

if TYPE_CHECKING:
    from pcinfra.localcloud.cfn.hooks import MadeResource, StackDeleted, WaitCondition

_LOG = logging.getLogger(__name__)
_LOG_LINES = 200


class HeadNodes:
    """Every cluster of one local cloud.

    Args:
        directory: the state directory. A cluster is in ``clusters/NAME``, and the content of a file system that was
            not made with the cluster in ``filesystems/ID``, where it outlives the cluster (FSx makes and removes it).
        client: makes a boto3 client of (service, region).
        port: returns the port of the loopback that the local cloud answers on; 0: nodes cannot reach it.
    """

    def __init__(self, directory: Path, client: Callable[[str, str], Any], port: Callable[[], int]) -> None:
        self._clusters = directory / "clusters"
        self.file_systems = directory / "filesystems"
        self._client = client
        self._port = port
        self._locks: dict[str, threading.RLock] = {}
        self._guard = threading.Lock()

    # -- CloudFormation -------------------------------------------------------------------------------------------

    def wait_condition(self, condition: WaitCondition) -> Mapping[str, str]:
        """Set the cluster up, or make it follow its new configuration; return the head node's signal.

        Raises:
            SetupFailed: with a reason that ParallelCluster knows (``get_cluster_creation_failure``).
        """
        head = condition.resource("HeadNode")
        try:
            with self._lock(condition.stack_name):
                self._converge(condition, Instance(head.physical_id, _address(condition, head), ""))
        except Exception as error:
            _LOG.warning("cluster %s: %s", condition.stack_name, error)
            raise SetupFailed(reason(error), head.physical_id) from error
        return {head.physical_id: "HeadNode setup complete"}

    def stack_deleted(self, deleted: StackDeleted) -> None:
        """Remove what is left of the cluster, if the stack was one."""
        with self._lock(deleted.stack_name):
            with contextlib.suppress(NotFound):
                self._cluster(deleted.stack_name).destroy()
            if self._machines(deleted.stack_name):
                shutil.rmtree(self._directory(deleted.stack_name))

    # -- EC2 ------------------------------------------------------------------------------------------------------

    def terminated(self, instance_ids: Sequence[str]) -> None:
        """End the machines of these instances; with its head node a cluster ends. Others' instances are ignored."""
        for instance_id in instance_ids:
            found = self._find(instance_id)
            if found is None:
                continue
            cluster, node = found
            if node == cluster.spec.head.name:
                cluster.stop()
            else:
                cluster.crash(node)

    # -- SSM ------------------------------------------------------------------------------------------------------

    def reaches(self, instance_id: str) -> bool:
        """Return whether the instance is a machine that runs here."""
        found = self._find(instance_id)
        return found is not None and found[0].up(found[1])

    def start_script(self, instance_id: str, script: str, directory: str = "") -> Running:
        """Start a script as SSM Agent does; see :meth:`SlurmCluster.start_script`.

        Raises:
            NotFound: no machine of that instance runs.
        """
        return self.start_command(instance_id, [script], working_directory=directory)

    def start_command(
        self,
        instance_id: str,
        commands: Sequence[str],
        *,
        working_directory: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Running:
        """Start ``commands``, the lines of one script, and return at once. Raises as :meth:`start_script`."""
        found = self._find(instance_id)
        if found is None:
            raise NotFound("no machine of this instance runs", where=instance_id)
        cluster, node = found
        script = "\n".join(commands)
        return cluster.start_script(node, script, environment=environment, directory=working_directory)

    def run_command(
        self,
        instance_id: str,
        commands: Sequence[str],
        *,
        timeout: float | None = None,
        working_directory: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> tuple[int, str, str]:
        """Run ``commands`` to their end and return exit status, stdout and stderr.

        Raises:
            TimeoutError: they did not end within ``timeout`` seconds, and were killed.
        """
        running = self.start_command(
            instance_id, commands, working_directory=working_directory, environment=environment
        )
        result = running.wait(timeout)
        if result is None:
            running.cancel()
            running.wait()
            raise TimeoutError(f"{instance_id}: no end after {timeout:g} s")
        return result.status, result.stdout, result.stderr

    # -- the local cloud itself -----------------------------------------------------------------------------------

    def start_all(self) -> None:
        """Bring back every cluster whose head node's instance runs. One that does not come up is logged, not raised."""
        names = list(self._names())
        if names:
            with ThreadPoolExecutor(max_workers=4, thread_name_prefix="cluster") as pool:
                list(pool.map(self._start_again, names))

    def stop_all(self) -> None:
        """End every process of every cluster; :meth:`start_all` brings them back with their files and their queue."""
        for name in self._names():
            with self._lock(name), contextlib.suppress(NotFound):
                self._cluster(name).stop()

    def file_system(self, identity: str) -> Path:
        """Return where the content of a file system or volume is that clusters mount; it need not exist."""
        return self.file_systems / identity

    # -- one cluster ----------------------------------------------------------------------------------------------

    def _converge(self, condition: WaitCondition, head: Instance) -> None:
        name, client = condition.stack_name, condition.client
        config = _configuration(condition)
        group = str(condition.parameters.get("ClusterCWLogGroup") or "")
        group = "" if group == "NONE" else group
        computefleet.log(client, group, head, "cfn-init", [f"setting up the head node of {name}"])
        before = set((self._machines(name) or Machines("", "")).nodes.values())
        nodes = self._instances(condition, config)
        instances = {node: instance.id for node, instance in nodes.items()}
        Machines(condition.region, head.id, group, instances).write(self._directory(name))
        if condition.cancelled():
            raise PcinfraError("the operation was given up", where=name)
        cluster = self._describe(name, config, client, head, nodes)
        cluster.start(fresh=[node for node, instance in nodes.items() if instance.id not in before])
        computefleet.assign(client, name, nodes, (cluster.spec.head.name, head.address))
        computefleet.say_running(client, name)
        self._publish_logs(cluster, client, group, head, nodes)

    def _instances(self, condition: WaitCondition, config: Mapping[str, Any]) -> dict[str, Instance]:
        """Launch what is missing, terminate what is no longer wanted; return the instance of every static node."""
        name, client = condition.stack_name, condition.client
        wanted = {node.name: node for node in static_nodes(config)}
        machines = self._machines(name)
        before = dict(machines.nodes) if machines else {}
        alive = computefleet.running(client, list(before.values()))
        kept = {
            node: alive[instance]
            for node, instance in before.items()
            if instance in alive and node in wanted and alive[instance].type in wanted[node].instance_types
        }
        gone = [node for node in before if node not in kept]
        computefleet.terminate(client, [before[node] for node in gone if before[node] in alive])
        computefleet.unassign(client, name, gone)
        missing = [node for node in wanted.values() if node.name not in kept]
        return {**kept, **self._launch(condition, missing, machines, kept)}

    def _launch(
        self,
        condition: WaitCondition,
        missing: Sequence[StaticNode],
        machines: Machines | None,
        kept: Mapping[str, Instance],
    ) -> dict[str, Instance]:
        """Launch instances; when one cannot be had, terminate those that could."""
        started: dict[str, Instance] = {}
        try:
            for node in missing:
                started[node.name] = computefleet.launch(condition.client, condition.stack_name, node)
        except Exception as error:
            computefleet.terminate(condition.client, [instance.id for instance in started.values()])
            raise NodesFailed(f"{node.name}: {error}") from error
        return started

    def _describe(
        self,
        name: str,
        config: Mapping[str, Any],
        client: Client,
        head: Instance,
        nodes: Mapping[str, Instance],
    ) -> SlurmCluster:
        queues = config["Scheduling"]["SlurmQueues"]
        types = {
            each for queue in queues for resource in queue["ComputeResources"] for each in instance_types(resource)
        }
        facts = computefleet.instance_facts(client, types | {config["HeadNode"]["InstanceType"]})
        spec = cluster_spec(
            name,
            config,
            types=facts,
            head_address=head.address,
            addresses={node: instance.address for node, instance in nodes.items()},
        )
        spec = self._reachable(spec, str(config.get("Region") or "us-east-1"))
        return SlurmCluster.create(self._directory(name), spec, self._storage(config))

    def _reachable(self, spec: Spec, region: str) -> Spec:
        """Tell the nodes where the local cloud is now: its port may differ from that of its last start."""
        port = self._port()
        environment = {
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            "AWS_ACCESS_KEY_ID": CREDENTIALS[0],
            "AWS_SECRET_ACCESS_KEY": CREDENTIALS[1],
            **({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"} if port else {}),
        }
        return dataclasses.replace(spec, endpoint=port, environment=environment)

    def _storage(self, config: Mapping[str, Any]) -> dict[str, Path]:
        """File systems that exist without the cluster: their content is kept by their id, for all who mount them."""
        found = {}
        for storage in config.get("SharedStorage") or []:
            identity = _file_system_id(storage)
            if identity:
                mount = str(storage["MountDir"])
                found[mount if mount.startswith("/") else f"/{mount}"] = self.file_system(identity)
        return found

    def _publish_logs(
        self, cluster: SlurmCluster, client: Client, group: str, head: Instance, nodes: Mapping[str, Instance]
    ) -> None:
        places = {"slurmctld": (head, cluster.spec.head.name)}
        log = cluster.paths.node(places["slurmctld"][1], "log", "slurmctld.log")
        computefleet.log(client, group, head, "slurmctld", _last_lines(log))
        computefleet.log(client, group, head, "clustermgtd", [f"{node} is {i.id}" for node, i in nodes.items()])
        for node, instance in nodes.items():
            computefleet.log(
                client, group, instance, "slurmd", _last_lines(cluster.paths.node(node, "log", "slurmd.log"))
            )
            computefleet.log(client, group, instance, "computemgtd", [f"{node} is up"])

    def _start_again(self, name: str) -> None:
        try:
            with self._lock(name), contextlib.suppress(NotFound):
                self._restart(name)
        except Exception:
            _LOG.exception("cluster %s does not come back", name)

    def _restart(self, name: str) -> None:
        machines, cluster = self._machines(name), self._cluster(name)
        assert machines is not None
        alive = computefleet.running(lambda service: self._client(service, machines.region), machines.ids)
        if machines.head not in alive:
            cluster.stop()
            return
        spec = self._reachable(cluster.spec, machines.region)
        absent = [node for node, instance in machines.nodes.items() if instance not in alive]
        SlurmCluster.create(self._directory(name), spec).start(absent=absent)

    # -- where things are -----------------------------------------------------------------------------------------

    def _find(self, instance_id: str) -> tuple[SlurmCluster, str] | None:
        for name in self._names():
            machines = self._machines(name)
            with contextlib.suppress(NotFound):
                cluster = self._cluster(name)
                node = machines.find(instance_id, cluster.spec.head.name) if machines else None
                if node:
                    return cluster, node
        return None

    def _names(self) -> Iterator[str]:
        for path in sorted(self._clusters.glob("*/machines.json")):
            yield path.parent.name

    def _directory(self, name: str) -> Path:
        return self._clusters / name

    def _cluster(self, name: str) -> SlurmCluster:
        return SlurmCluster.load(self._directory(name))

    def _machines(self, name: str) -> Machines | None:
        return Machines.read(self._directory(name))

    def _lock(self, name: str) -> threading.RLock:
        with self._guard:
            return self._locks.setdefault(name, threading.RLock())


def _configuration(condition: WaitCondition) -> Mapping[str, Any]:
    """Read the configuration that ParallelCluster stored for its head node (``get_config`` in its ``config_cfn``)."""
    bucket, root = (str(condition.parameters[key]) for key in ("ResourcesS3Bucket", "ArtifactS3RootDirectory"))
    key = f"{root}/configs/cluster-config-with-implied-values.yaml"
    body = condition.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    content: Mapping[str, Any] = yaml.safe_load(body)
    return content


def _address(condition: WaitCondition, head: MadeResource) -> str:
    address = head.attributes.get("PrivateIp")
    if address:
        return str(address)
    return computefleet.running(condition.client, [head.physical_id])[head.physical_id].address


def _file_system_id(storage: Mapping[str, Any]) -> str:
    """Return the id of an existing file system; empty when the storage is made and deleted with the cluster."""
    for settings in (value for key, value in storage.items() if key.endswith("Settings")):
        for key in ("FileSystemId", "VolumeId"):
            if settings and settings.get(key):
                return str(settings[key])
    return ""


def _last_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    except OSError:
        return []

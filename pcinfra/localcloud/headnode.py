"""The machines of the local cloud: what ParallelCluster's head node does once CloudFormation has started it.

A cluster is set up when its head node's WaitCondition is created, follows its configuration when the cluster is
updated, loses a node when its instance is terminated, and goes when its stack is gone. What each cluster consists of
is in its directory, so that another process finds it again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pcinfra.errors import NotFound
from pcinfra.localcloud import computefleet
from pcinfra.localcloud.clustermgtd import Clustermgtd
from pcinfra.localcloud.computefleet import Instance
from pcinfra.localcloud.converge import Convergence, database, reachable
from pcinfra.localcloud.homes import Home, Homes
from pcinfra.localcloud.machines import SetupFailed, reason
from pcinfra.localcloud.metadata import Metadata
from pcinfra.localcloud.power import Power
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from pcinfra.localcloud.slurm.commands import Running

if TYPE_CHECKING:
    from pcinfra.localcloud.cfn.hooks import MadeResource, StackDeleted, WaitCondition

_LOG = logging.getLogger(__name__)


class HeadNodes:
    """Every cluster of one local cloud.

    Args:
        directory: the state directory. A cluster is in ``clusters/NAME``, and the content of a file system that was
            not made with the cluster in ``filesystems/ID``, where it outlives the cluster (FSx makes and removes it).
        client: makes a boto3 client of (service, region).
        port: returns the port of the loopback that the local cloud answers on; 0: nodes cannot reach it.
    """

    def __init__(self, directory: Path, client: Callable[[str, str], Any], port: Callable[[], int]) -> None:
        self.file_systems = directory / "filesystems"
        self._port = port
        self._homes = Homes(directory / "clusters", client)
        self.power = Power(self._homes)
        self._clustermgtd = Clustermgtd(self._homes)
        self.metadata = Metadata(self._homes)

    # -- CloudFormation -------------------------------------------------------------------------------------------

    def wait_condition(self, condition: WaitCondition) -> Mapping[str, str]:
        """Set the cluster up, or make it follow its new configuration; return the head node's signal.

        Raises:
            SetupFailed: with a reason that ParallelCluster knows (``get_cluster_creation_failure``).
        """
        head, home = condition.resource("HeadNode"), self._homes.home(condition.stack_name)
        instance = Instance(head.physical_id, _address(condition, head), "")
        with home.lock:
            before = home.config if home.exists else None
            try:
                self._converge(home, condition, _configuration(condition), instance)
            except Exception as error:
                _LOG.warning("cluster %s: %s", condition.stack_name, error)
                self._take_back(home, condition, before, instance)
                raise SetupFailed(reason(error), head.physical_id) from error
        return {head.physical_id: "HeadNode setup complete"}

    def _converge(self, home: Home, condition: WaitCondition, config: Mapping[str, Any], head: Instance) -> None:
        Convergence(home, condition, config, head, self.file_system, self._port()).run()

    def _take_back(
        self, home: Home, condition: WaitCondition, config: Mapping[str, Any] | None, head: Instance
    ) -> None:
        """After an update that failed, be again what the cluster was; CloudFormation rolls its own part back."""
        if config is None:
            return
        try:
            self._converge(home, dataclasses.replace(condition, cancelled=lambda: False), config, head)
        except Exception:
            _LOG.exception("cluster %s does not come back to what it was", condition.stack_name)

    def stack_deleted(self, deleted: StackDeleted) -> None:
        """Remove what is left of the cluster, if the stack was one."""
        home = self._homes.home(deleted.stack_name)
        with home.lock:
            home.remove()

    # -- EC2 ------------------------------------------------------------------------------------------------------

    def terminated(self, instance_ids: Sequence[str]) -> None:
        """End the machines of these instances; with its head node a cluster ends. Others' instances are ignored."""
        for instance_id in instance_ids:
            found = self._homes.find(instance_id)
            if found is None:
                continue
            cluster, node = found
            if node == cluster.spec.head.name:
                cluster.stop(for_good=True)
            else:
                cluster.crash(node)

    # -- SSM ------------------------------------------------------------------------------------------------------

    def reaches(self, instance_id: str) -> bool:
        """Return whether the instance is a machine that runs here."""
        found = self._homes.find(instance_id)
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
        cluster, node = self._found(instance_id)
        script = "\n".join(commands)
        return cluster.start_script(node, script, environment=environment, directory=working_directory)

    def terminal(self, instance_id: str, command: str) -> list[str]:
        """Return the program of a session's terminal; see :meth:`SlurmCluster.terminal`."""
        cluster, node = self._found(instance_id)
        return cluster.terminal(node, command)

    def dial(self, instance_id: str, host: str, port: int) -> socket.socket:
        """Connect to a port of an instance; see :meth:`SlurmCluster.connect`."""
        cluster, node = self._found(instance_id)
        return cluster.connect(node, host, port)

    def _found(self, instance_id: str) -> tuple[SlurmCluster, str]:
        found = self._homes.find(instance_id)
        if found is None:
            raise NotFound("no machine of this instance runs", where=instance_id)
        return found

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
        homes = list(self._homes)
        if homes:
            with ThreadPoolExecutor(max_workers=4, thread_name_prefix="cluster") as pool:
                list(pool.map(self._start_again, homes))

    def look_after(self) -> None:
        """Keep every fleet as it is wanted from now on, in a thread."""
        self._clustermgtd.start()

    def stop_all(self) -> None:
        """End every process of every cluster; :meth:`start_all` brings them back with their files and their queue."""
        self._clustermgtd.stop()
        for home in self._homes:
            with home.lock, contextlib.suppress(NotFound):
                home.cluster.stop()

    def file_system(self, identity: str) -> Path:
        """Return where the content of a file system or volume is that clusters mount; it need not exist."""
        return self.file_systems / identity

    def _start_again(self, home: Home) -> None:
        try:
            with home.lock, contextlib.suppress(NotFound):
                self._restart(home)
        except Exception:
            _LOG.exception("cluster %s does not come back", home.name)

    def _restart(self, home: Home) -> None:
        machines, cluster = home.machines, home.cluster
        alive = computefleet.running(home.client, machines.ids)
        if machines.head not in alive:
            cluster.stop()
            return
        spec = reachable(cluster.spec, machines.region, self._port())
        spec = dataclasses.replace(spec, database=database(home.name, home.config))
        absent = [node for node, instance in machines.nodes.items() if instance not in alive]
        SlurmCluster.create(home.directory, spec).start(absent=absent)


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

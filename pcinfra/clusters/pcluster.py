"""The unmodified pcluster: its schema as a library, everything else as a program.

Nothing else imports it, but :mod:`pcinfra.clusters.policies` and :mod:`pcinfra.clusters.program`, which run in
processes of their own.

It runs in a process of its own because it keeps global state, and because its answers to a program are stable: JSON
on standard output. Sources of their form: aws-parallelcluster 3.16.1, ``cli/entrypoint.py`` and ``api/errors.py``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from pcinfra import errors
from pcinfra.clusters import program
from pcinfra.clusters.findings import Finding, Level, from_messages, refusal
from pcinfra.clusters.policies import Needs, Verdict

if TYPE_CHECKING:
    from pcinfra.aws import Target
    from pcinfra.shell import Shell

INSTALL = "pip install 'pcinfra[cluster]'"
INSTALL_NODE = "sudo apt-get install nodejs   (or any other way to Node.js 18 or newer)"


# pcluster warns when there is no key pair. There is none on purpose: the way in is Session Manager.
_QUIET = ["--suppress-validators", "type:KeyPairValidator"]


BROKE_OFF = "?"
"""The place of a mistake that pcluster does not report but fails at."""


def schema_findings(cluster_name: str, config: Any, region: str) -> list[Finding]:
    """Return what pcluster's own schema says of ``config`` (parsed YAML). Makes no call.

    Raises:
        MissingTool: pcluster is not installed.
    """
    if not isinstance(config, dict):
        return [Finding(Level.ERROR, "schema", "", "not a mapping")]
    try:
        from marshmallow import ValidationError
        from pcluster.schemas.cluster_schema import ClusterSchema
    except ImportError as error:
        raise errors.MissingTool(f"pcluster is not installed ({error})", hint=INSTALL) from error
    try:
        with _region(region):
            ClusterSchema(cluster_name=cluster_name).load(config)
    except ValidationError as error:
        return from_messages(error.messages)
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        return [Finding(Level.ERROR, "schema", BROKE_OFF, f"pcluster breaks off: {error}")]
    return []


def installed_version() -> str:
    """Return the version of the pcluster that is installed beside us; empty when there is none."""
    import importlib.metadata

    try:
        return importlib.metadata.version("aws-parallelcluster")
    except importlib.metadata.PackageNotFoundError:
        return ""


@contextmanager
def _region(region: str) -> Iterator[None]:
    """Parts of the schema look for a region in the environment."""
    before = os.environ.get("AWS_DEFAULT_REGION")
    os.environ["AWS_DEFAULT_REGION"] = region
    try:
        yield
    finally:
        if before is None:
            del os.environ["AWS_DEFAULT_REGION"]
        else:
            os.environ["AWS_DEFAULT_REGION"] = before


@dataclass(frozen=True, slots=True)
class HeadNode:
    """The head node's instance. ``state`` is EC2's: pending, running, …"""

    instance_id: str
    instance_type: str
    state: str
    private_ip: str


@dataclass(frozen=True, slots=True)
class Description:
    """What describe-cluster tells. ``failures`` are pairs of failure code and reason, after a failed creation.

    ``login_nodes`` is how many pcluster counts as running: targets of their load balancers, also those that drain.
    """

    name: str
    status: str
    stack_status: str
    fleet_status: str
    version: str
    created: str
    head_node: HeadNode | None
    failures: tuple[tuple[str, str], ...]
    login_nodes: int = 0


@dataclass(frozen=True, slots=True)
class Pcluster:
    """The pcluster program, sent to ``target``."""

    shell: Shell
    target: Target

    def create(self, name: str, config: str, *, rollback: bool = False) -> str:
        """Run every validator and start the creation; return the stack's id.

        A failed creation is not rolled back unless ``rollback``: what is left tells why it failed.

        Raises:
            InputError: the validators found errors; it carries all of them.
            Conflict: a stack of this name exists.
        """
        self._need_node()
        arguments = ["create-cluster", "-n", name, "-c", "/dev/stdin"]
        arguments += ["--rollback-on-failure", str(rollback).lower(), *_QUIET]
        answer = self._run(name, arguments, config, program.CREATING)
        return str(answer["cluster"]["cloudformationStackArn"])

    def dryrun(self, name: str, config: str, *, update: bool = False) -> list[Finding]:
        """Run every validator and create nothing; return what they say, errors included.

        Args:
            update: as for a cluster that exists; whether the change can be made now is not asked.
        """
        self._need_node()
        command = "update-cluster" if update else "create-cluster"
        answer, failed = self._answer([command, "-n", name, "-c", "/dev/stdin", "--dryrun", "true", *_QUIET], config)
        allowed = "DryRun flag" in answer.get("message", "") or "updateValidationErrors" in answer
        if failed and not allowed and not _findings(answer):
            raise failure(name, answer)
        return _findings(answer)

    def verdicts(self, name: str, before: str, after: str, *, login: bool = False) -> tuple[Verdict, ...]:
        """Return what each difference of two configurations (YAML) needs by pcluster's update policies; makes no call.

        Args:
            login: whether login nodes run.
        """
        question = {
            "name": name,
            "region": self.target.region,
            "before": yaml.safe_load(before),
            "after": yaml.safe_load(after),
            "login": login,
        }
        command = [self._python(), "-m", "pcinfra.clusters.policies"]
        done = self.shell.run(command, stdin=json.dumps(question, default=str), env=self._environment()).check()
        return tuple(Verdict(**{**row, "needs": Needs(row["needs"])}) for row in json.loads(done.stdout))

    def update(self, name: str, config: str) -> str:
        """Run every validator and start the update; return the stack's id.

        Raises:
            InputError: the validators found errors; it carries all of them.
            Refused: a change cannot be made while the cluster is as it is.
            NotFound: there is no such cluster.
        """
        self._need_node()
        answer = self._run(name, ["update-cluster", "-n", name, "-c", "/dev/stdin", *_QUIET], config)
        return str(answer["cluster"]["cloudformationStackArn"])

    def set_fleet(self, name: str, *, running: bool) -> None:
        """Ask for the compute fleet to be started or stopped; nothing happens when it is so.

        Raises:
            NotFound: there is no such cluster.
        """
        status = "START_REQUESTED" if running else "STOP_REQUESTED"
        self._run(name, ["update-compute-fleet", "-n", name, "--status", status])

    def delete(self, name: str) -> None:
        """Start the deletion.

        Raises:
            NotFound: there is no such cluster.
        """
        self._run(name, ["delete-cluster", "-n", name])

    def describe(self, name: str) -> Description:
        """Return the cluster's state.

        Raises:
            NotFound: there is no such cluster.
        """
        return _description(self._run(name, ["describe-cluster", "-n", name]))

    def statuses(self) -> dict[str, str]:
        """Return the status of every cluster of the region, by name."""
        return {c["clusterName"]: c["clusterStatus"] for c in self._run("", ["list-clusters"])["clusters"]}

    def _run(
        self, name: str, arguments: list[str], stdin: str = "", command: Sequence[str] = program.COMMAND
    ) -> dict[str, Any]:
        answer, failed = self._answer(arguments, stdin, command)
        if failed:
            raise failure(name, answer)
        return answer

    def _answer(
        self, arguments: list[str], stdin: str, command: Sequence[str] = program.COMMAND
    ) -> tuple[dict[str, Any], bool]:
        arguments = [*arguments, "-r", self.target.region]
        if importlib.util.find_spec("pcluster"):
            asked = program.question(arguments, self._environment(), stdin)
            done = self.shell.run(command, stdin=asked, env=program.environment())
        else:
            done = self.shell.run([self._elsewhere(), *arguments], stdin=stdin, env=self._environment())
        try:
            answer = json.loads(done.stdout)
        except json.JSONDecodeError:
            answer = {"message": (done.stdout + done.stderr).strip() or f"exit status {done.status}"}
        return answer if isinstance(answer, dict) else {"message": str(answer)}, done.status != 0

    def _python(self) -> str:
        if not importlib.util.find_spec("pcluster"):
            raise errors.MissingTool("pcluster is not installed where pcinfra is", hint=INSTALL)
        return sys.executable

    def _elsewhere(self) -> str:
        path = self.shell.which("pcluster")
        if not path:
            raise errors.MissingTool("pcluster is not installed", hint=INSTALL)
        return path

    def _need_node(self) -> None:
        if not self.shell.which("node"):
            raise errors.MissingTool("pcluster needs Node.js to write its template", where="node", hint=INSTALL_NODE)

    def _environment(self) -> dict[str, str]:
        ours = self.target.environment()
        stale = {"AWS_PROFILE", "AWS_SESSION_TOKEN"} if "AWS_ACCESS_KEY_ID" in ours else set()
        inherited = {key: value for key, value in program.environment().items() if key not in stale}
        return {**inherited, **ours}


def _description(answer: Mapping[str, Any]) -> Description:
    head = answer.get("headNode")
    return Description(
        name=answer["clusterName"],
        status=answer["clusterStatus"],
        stack_status=answer["cloudFormationStackStatus"],
        fleet_status=answer.get("computeFleetStatus", "UNKNOWN"),
        version=answer["version"],
        created=answer.get("creationTime", ""),
        head_node=HeadNode(head["instanceId"], head["instanceType"], head["state"], head.get("privateIpAddress", ""))
        if head
        else None,
        failures=tuple((f["failureCode"], f.get("failureReason", "")) for f in answer.get("failures") or ()),
        login_nodes=sum(pool.get("healthyNodes", 0) + pool.get("unhealthyNodes", 0) for pool in _pools(answer)),
    )


def _pools(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A list of pools since 3.11; one mapping before."""
    found = answer.get("loginNodes") or []
    return [found] if isinstance(found, dict) else list(found)


def _findings(answer: Mapping[str, Any]) -> list[Finding]:
    said = [*(answer.get("configurationValidationErrors") or ()), *(answer.get("validationMessages") or ())]
    return [Finding(Level(item["level"]), item["type"], "", item["message"]) for item in said]


_LOGIN = "aws sts get-caller-identity   (then aws configure, or aws sso login)"

_BUSY = "the same command again: it waits for what somebody else has just begun, and does what is left"

# Patterns of pcluster's messages (it gives no codes), the error each means, and what to type.
_MEANINGS: tuple[tuple[str, type[errors.PcinfraError], str], ...] = (
    (r"(Cluster|Stack) \S+ already exists", errors.Conflict, ""),
    (r"Cluster \S+ does not exist", errors.NotFound, ""),
    (r"is in \w+_IN_PROGRESS state|while stack is in \w+_IN_PROGRESS", errors.Conflict, _BUSY),
    ("node executable", errors.MissingTool, INSTALL_NODE),
    (r"Node\.js", errors.MissingTool, INSTALL_NODE),
    ("Unable to locate credentials", errors.CredentialsError, _LOGIN),
    ("ExpiredToken", errors.CredentialsError, _LOGIN),
    ("security token included in the request is", errors.CredentialsError, _LOGIN),
    ("not authorized", errors.AccessDenied, "ask for this permission, or use another --profile"),
    ("AccessDenied", errors.AccessDenied, "ask for this permission, or use another --profile"),
    ("Rate exceeded", errors.Unreachable, "the same command again; it goes on where it stopped"),
    ("Could not connect", errors.Unreachable, "check the network and the region, then the same command again"),
)


def failure(name: str, answer: Mapping[str, Any]) -> errors.PcinfraError:
    """Return the error of our tree for pcluster's answer to a command that failed."""
    if wrong := [f for f in _findings(answer) if f.level is Level.ERROR]:
        return refusal(name, wrong)
    if not_now := answer.get("updateValidationErrors"):
        told = "".join(f"\n    {each['parameter']}: {each['message']}" for each in not_now)
        hint = "" if "login nodes" not in told else f"pcinfra cluster update {name}   (it waits until they are gone)"
        return errors.Refused(f"pcluster does not make this change now:{told}", where=f"cluster {name}", hint=hint)
    message = str(answer.get("message") or answer)
    where = f"pcluster {name}".strip()
    for pattern, kind, hint in _MEANINGS:
        if re.search(pattern, message):
            return kind(message, where=where, hint=hint)
    return errors.CloudError(message, where=where, hint="more in ~/.parallelcluster/pcluster-cli.log")

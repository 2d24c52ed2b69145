"""The cluster as a whole: its name, head node, Slurm's settings, roles and tags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pcinfra import catalog
from pcinfra.clusters.overrides import Path
from pcinfra.clusters.rules.model import QUEUES, Config, Remark, info, warning

LONGEST = 60
LONGEST_WITH_ACCOUNTING = 40
MOST_TAGS = 40
HIDES_FAILURES = 7200
SETTINGS: Path = ("Scheduling", "SlurmSettings")


def name(config: Config) -> Iterator[Remark]:
    """pcluster, ClusterNameValidator: 60 characters, 40 with accounting, where it names the database."""
    accounting = "Database" in config.settings or "ExternalSlurmdbd" in config.settings
    most = LONGEST_WITH_ACCOUNTING if accounting else LONGEST
    if not re.match(rf"^[a-zA-Z][a-zA-Z0-9-]{{0,{most - 1}}}$", config.name):
        why = " with accounting" if accounting else ""
        yield Remark((), f"the name has {len(config.name)} characters; {most} are possible{why}", config.name[:most])


def head_memory(config: Config) -> Iterator[Remark]:
    """pcluster, HeadNodeMemorySizeValidator: N/25 + 0.6 GB, at most 16."""
    kind = catalog.get(config.data["HeadNode"]["InstanceType"])
    if kind is None:
        return
    most = sum(nodes.most for nodes in config.nodes)
    needed, has = min(most / 25 + 0.6, 16), kind.memory_mib / 1024
    if has < needed:
        what = f"{kind.name} has {has:g} GB of memory; {most} nodes need {needed:g}"
        yield Remark(("HeadNode", "InstanceType"), what, "instance_type: auto")


DENIED = frozenset(
    ("epilog", "grestypes", "launchparameters", "prolog", "reconfigflags", "resumefailprogram", "resumeprogram",
     "resumetimeout", "slurmctldhost", "slurmctldlogfile", "slurmctldparameters", "slurmdlogfile", "slurmuser",
     "suspendexcnodes", "suspendprogram", "suspendtime", "taskplugin", "treewidth")
)  # fmt: skip
DENIED_WITH_ACCOUNTING = frozenset(
    ("accountingstoragetype", "accountingstoragehost", "accountingstorageport", "accountingstorageuser",
     "jobacctgathertype")
)  # fmt: skip
DENIED_IN_QUEUES = frozenset(["nodes", "partitionname", "resumetimeout", "state", "suspendtime", "oversubscribe"])
DENIED_IN_NODES = frozenset(["cpus", "gres", "nodeaddr", "nodehostname", "nodename", "state", "weight"])
"""pcluster 3.16.1, SLURM_SETTINGS_DENY_LIST."""

_INSTEAD = {
    "prolog": "put the program into /opt/slurm/etc/scripts/prolog.d on the head node",
    "epilog": "put the program into /opt/slurm/etc/scripts/epilog.d on the head node",
    "suspendtime": "scaledown_idletime: 10",
    "resumetimeout": "DevSettings: {Timeouts: {ComputeNodeBootstrapTimeout: 2400}}",
    "oversubscribe": "exclusive: true",
}


def slurm_settings(config: Config) -> Iterator[Remark]:
    """pcluster, CustomSlurmSettingsValidator and CustomSlurmNodeNamesValidator; a line break is ours."""
    denied = DENIED | (DENIED_WITH_ACCOUNTING if "Database" in config.settings else frozenset())
    custom = config.settings.get("CustomSlurmSettings", [])
    for index, settings in enumerate(custom):
        path = (*SETTINGS, "CustomSlurmSettings", index)
        yield from _denied(path, settings, denied)
        for key, value in settings.items():
            if key.lower() == "nodename" and re.search(r"-(st|dy)-", str(value)):
                yield Remark((*path, key), f"{value}: -st- and -dy- in node names belong to ParallelCluster")
    if custom and "CustomSlurmSettingsIncludeFile" in config.settings:
        yield Remark((*SETTINGS, "CustomSlurmSettingsIncludeFile"), "excludes CustomSlurmSettings", "one of the two")
    for index, queue in enumerate(config.queues):
        yield from _denied((*QUEUES, index, "CustomSlurmSettings"), queue.get("CustomSlurmSettings", {}),
                           DENIED_IN_QUEUES)  # fmt: skip
    for nodes in config.nodes:
        yield from _denied((*nodes.path, "CustomSlurmSettings"), nodes.resource.get("CustomSlurmSettings", {}),
                           DENIED_IN_NODES)  # fmt: skip


def _denied(path: Path, settings: Mapping[str, Any], denied: frozenset[str]) -> Iterator[Remark]:
    for key, value in settings.items():
        if re.search(r"[\x00-\x1f]", f"{key}{value}"):
            yield Remark((*path, key), f"{key!r} has a line break, which begins another line of slurm.conf", "one line")
        elif key.lower() in denied:
            yield Remark(
                (*path, key), f"{key} is set by ParallelCluster itself", _INSTEAD.get(key.lower(), "remove it")
            )


def accounting(config: Config) -> Iterator[Remark]:
    """pcluster, DatabaseUriValidator: no scheme, no leading /; ExternalSlurmdbdVsDatabaseIncompatibility."""
    uri = str(config.settings.get("Database", {}).get("Uri", ""))
    if uri.startswith("/") or "://" in uri:
        yield Remark((*SETTINGS, "Database", "Uri"), f"{uri} must be HOST:PORT alone", uri.split("//")[-1].strip("/"))
    if "Database" in config.settings and "ExternalSlurmdbd" in config.settings:
        yield Remark((*SETTINGS, "ExternalSlurmdbd"), "excludes Database", "one of the two")


def idle_time(config: Config) -> Iterator[Remark]:
    """Source: ParallelCluster, SlurmSettings/ScaledownIdletime: -1 keeps dynamic nodes forever."""
    if config.settings.get("ScaledownIdletime") == -1:
        yield warning((*SETTINGS, "ScaledownIdletime"), "nodes that came with a job never go: they cost until somebody "
                      "stops them", "scaledown_idletime: 10")  # fmt: skip


def timeouts(config: Config) -> Iterator[Remark]:
    """The head node waits for its static nodes (aws-parallelcluster issues 3604, 3939 and 4211)."""
    path: Path = ("DevSettings", "Timeouts")
    said = config.data.get("DevSettings", {}).get("Timeouts", {})
    head, nodes = int(said.get("HeadNodeBootstrapTimeout", 2100)), int(said.get("ComputeNodeBootstrapTimeout", 2100))
    if head < nodes:
        yield warning((*path, "HeadNodeBootstrapTimeout"), f"{head} s for the head node, which waits for its nodes' "
                      f"{nodes} s", f"HeadNodeBootstrapTimeout: {nodes + 1200}")  # fmt: skip
    if head > HIDES_FAILURES:
        yield warning((*path, "HeadNodeBootstrapTimeout"), f"a creation that fails shows it after {head // 3600} hours",
                      "HeadNodeBootstrapTimeout: 3600")  # fmt: skip


_TOO_MUCH = ("AdministratorAccess", "AmazonS3FullAccess", "AmazonEC2FullAccess", "IAMFullAccess", "PowerUserAccess",
             "AmazonEC2ContainerRegistryFullAccess")  # fmt: skip


def roles(config: Config) -> Iterator[Remark]:
    """Ours: whoever runs a job has the role of its node."""
    holders: list[tuple[Path, Mapping[str, Any]]] = [(("HeadNode",), config.data["HeadNode"])]
    holders += [((*QUEUES, index), queue) for index, queue in enumerate(config.queues)]
    for path, holder in holders:
        iam = holder.get("Iam", {})
        for index, item in enumerate(iam.get("AdditionalIamPolicies", [])):
            policy = str(item["Policy"]).rpartition("/")[2]
            if policy in _TOO_MUCH:
                yield warning((*path, "Iam", "AdditionalIamPolicies", index), f"{policy} is given to every job",
                              "a policy of yours for what is needed")  # fmt: skip


def imds(config: Config) -> Iterator[Remark]:
    """Source: ParallelCluster, Imds/ImdsSupport and HeadNode/Imds/Secured."""
    if config.data.get("Imds", {}).get("ImdsSupport") == "v1.0":
        yield warning(("Imds", "ImdsSupport"), "a forged request gets the node's credentials", "ImdsSupport: v2.0")
    if config.data["HeadNode"].get("Imds", {}).get("Secured") is False:
        yield warning(("HeadNode", "Imds", "Secured"), "every user has the head node's role", "Secured: true")


def directory(config: Config) -> Iterator[Remark]:
    """pcluster, DomainNameValidator, DomainAddrValidator, PasswordSecretArnValidator, LdapTlsReqCertValidator and
    AdditionalSssdConfigsValidator. A Parameter Store parameter is possible in us-isob-east-1 only, which we leave out.
    """
    found = config.data.get("DirectoryService")
    if not found:
        return
    path: Path = ("DirectoryService",)
    domain, addresses = str(found["DomainName"]), str(found["DomainAddr"])
    if not re.match(r"^[\w-]+(\.[\w-]+)*$|^(dc=[\w-]+)(,dc=[\w-]+)*$", domain, re.ASCII | re.IGNORECASE):
        what = f"{domain!r} is neither a domain's name nor a distinguished name of dc= alone"
        yield Remark((*path, "DomainName"), what, "corp.example.com or dc=corp,dc=example,dc=com")
    for address in addresses.split(","):
        yield from _address(address.strip(), found.get("AdditionalSssdConfigs", {}))
    secret = str(found["PasswordSecretArn"])
    if ":secretsmanager:" not in secret:
        yield Remark((*path, "PasswordSecretArn"), "must be a secret of Secrets Manager",
                     "arn:aws:secretsmanager:us-east-1:123456789012:secret:ad-AbCdEf")  # fmt: skip
    if found.get("LdapTlsReqCert") in ("never", "allow", "try"):
        yield warning((*path, "LdapTlsReqCert"), "whoever stands between reads passwords", "LdapTlsReqCert: hard")
    yield from _sssd(found)


def _address(address: str, sssd: Mapping[str, Any]) -> Iterator[Remark]:
    path: Path = ("DirectoryService", "DomainAddr")
    scheme, there, host = address.partition("://")
    if there and scheme not in ("ldap", "ldaps"):
        yield warning(path, f"{scheme} is not a protocol of directories", f"ldaps://{host}")
    elif scheme == "ldap" and there:
        yield warning(path, "ldap sends passwords in the clear", f"ldaps://{host}")
        if str(sssd.get("ldap_auth_disable_tls_never_use_in_production", "")).lower() != "true":
            yield warning(path, "nobody can log in by ldap without ldap_auth_disable_tls_never_use_in_production in "
                          "AdditionalSssdConfigs", f"ldaps://{host}")  # fmt: skip


def _sssd(found: Mapping[str, Any]) -> Iterator[Remark]:
    sssd, path = found.get("AdditionalSssdConfigs", {}), ("DirectoryService", "AdditionalSssdConfigs")
    if sssd.get("id_provider", "ldap") != "ldap":
        yield Remark((*path, "id_provider"), "belongs to ParallelCluster, which uses ldap", "remove it")
    if "LdapAccessFilter" in found and sssd.get("access_provider", "ldap") != "ldap":
        yield Remark((*path, "access_provider"), "LdapAccessFilter needs ldap", "access_provider: ldap")


def ours(config: Config) -> Iterator[Remark]:
    """By its tags pcinfra finds a cluster again; names of pcluster's that are not in their own place do nothing."""
    tags = {tag["Key"]: (index, tag["Value"]) for index, tag in enumerate(config.data.get("Tags", []))}
    index, value = tags.get("pcinfra:stage", (0, ""))
    if value != "cluster" or "pcinfra:project" not in tags:
        yield Remark(("Tags", index), "pcinfra finds its clusters by its own tags", "leave pcinfra: tags alone")
    if len(tags) > MOST_TAGS:
        yield Remark(("Tags",), f"{len(tags)} tags; {MOST_TAGS} are possible", "fewer tags")


def open_ssh(config: Config) -> Iterator[Remark]:
    """Ours: with a group of one's own pcluster opens nothing, so the list says nothing."""
    ssh = config.data["HeadNode"].get("Ssh", {})
    if "AllowedIps" in ssh and "SecurityGroups" in config.data["HeadNode"]["Networking"]:
        yield info(("HeadNode", "Ssh", "AllowedIps"), "does nothing: the project's own security group decides, and "
                   "opens nothing", "remove it")  # fmt: skip


RULES = (
    name, head_memory, slurm_settings, accounting, idle_time, timeouts, roles, imds, directory, ours, open_ssh,
)  # fmt: skip

"""Is a configuration right? First offline, then, when nothing stands in the way, against the account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import yaml

from pcinfra.clusters import rules, schema
from pcinfra.clusters.findings import Finding, Level
from pcinfra.clusters.pcluster import installed_version
from pcinfra.clusters.rules.model import Remark
from pcinfra.clusters.sources import dotted
from pcinfra.errors import AccessDenied

if TYPE_CHECKING:
    from pcinfra.aws import Cloud

PINNED = "3.16.1"


def validate(cluster_name: str, text: str, region: str, version: str = PINNED) -> list[Finding]:
    """Return what pcluster's schema and our own rules say of the configuration ``text``. Makes no call.

    pcluster's validators, which ask AWS, run in :meth:`~pcinfra.clusters.pcluster.Pcluster.dryrun`; creating runs
    them too.
    """
    try:
        data = parse(text)
    except yaml.YAMLError as error:
        return [Finding(Level.ERROR, "YAML", _place(error), str(getattr(error, "problem", None) or error))]
    if not isinstance(data, dict):
        return [Finding(Level.ERROR, "schema", "", "not a mapping")]
    faults = schema.check(schema.load(version), data)
    if faults:
        return [Finding(Level.ERROR, "schema", dotted(fault.path), fault.why, fault.hint) for fault in faults]
    config = rules.Config(cluster_name, version, data)
    found = [*_elsewhere(data, region), *(_found(rule.__name__, rule(config)) for rule in rules.OFFLINE)]
    return [finding for some in found for finding in some]


def against_account(cluster_name: str, text: str, cloud: Cloud, version: str = PINNED) -> list[Finding]:
    """Return what our rules find when they look at the account. They only read."""
    config = rules.Config(cluster_name, version, parse(text))
    found: list[Finding] = []
    for rule in rules.ACCOUNT:
        try:
            found += _found(rule.__name__, rule(config, cloud))
        except AccessDenied as error:
            what = f"{rule.__name__.replace('_', ' ')} could not be checked: {error.why}"
            found.append(Finding(Level.INFO, rule.__name__, "", what, error.hint))
    return found


def version_findings(version: str) -> list[Finding]:
    """Return what stands against making a cluster of ``version`` here: pcluster makes those of its own version only."""
    installed = installed_version()
    if installed in ("", version):
        return []
    what = f"pcluster_version is {version}, and pcluster {installed} is installed, which makes {installed} only"
    hint = f"pip install aws-parallelcluster=={version}   (or pcluster_version: {installed})"
    return [Finding(Level.ERROR, "pcluster_version", "", what, hint)]


def parse(text: str) -> Any:
    """Return the YAML ``text`` as data, read by libyaml where there is one."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  (both are safe)


def _found(check: str, remarks: Iterator[Remark]) -> list[Finding]:
    return [Finding(r.level, check, dotted(r.path), r.what, r.hint) for r in remarks]


def _elsewhere(data: dict[str, Any], region: str) -> Iterator[list[Finding]]:
    """Ours: a cluster is made in the project's region, where its network is."""
    said = data.get("Region", region)
    if said != region:
        what = f"{said} is not the project's region, {region}"
        yield [Finding(Level.ERROR, "region", "Region", what, f"Region: {region}")]


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""

"""Is a configuration right? First offline, then, when nothing is wrong so far, by pcluster's validators."""

from __future__ import annotations

import yaml

from pcinfra.clusters import pcluster
from pcinfra.clusters.findings import Finding, Level


def validate(cluster_name: str, text: str, region: str) -> list[Finding]:
    """Return what pcluster's own schema says of the configuration ``text``. Makes no call.

    Its validators, which ask AWS, run in :meth:`~pcinfra.clusters.pcluster.Pcluster.dryrun`; creating runs them too.
    """
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return [Finding(Level.ERROR, "YAML", _place(error), str(getattr(error, "problem", None) or error))]
    return pcluster.schema_findings(cluster_name, config, region)


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""

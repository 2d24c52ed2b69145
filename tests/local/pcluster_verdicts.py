"""Reads configurations as JSON from standard input and writes what pcluster's schema and validators say of each.

A program of its own, because pcluster keeps global state and takes its target from the environment. What it calls is
what ``pcluster create-cluster --dryrun true`` calls (models/cluster.py, _validate_and_parse_config), without the
command line's start for each.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import yaml


def said(text: str) -> list[str]:
    """Return the errors, each as ``VALIDATOR: message``; the schema's as one."""
    from marshmallow import ValidationError
    from pcluster.schemas.cluster_schema import ClusterSchema
    from pcluster.validators.common import FailureLevel, ValidatorContext

    try:
        config: Any = ClusterSchema(cluster_name="check").load(yaml.safe_load(text))
        failures = config.validate(None, ValidatorContext())
    except ValidationError as error:
        return [f"schema: {error.messages}"]
    except Exception as error:  # pcluster turns whatever happens into ConfigValidationError
        return [f"{type(error).__name__}: {error}"]
    return [f"{f.validator_type}: {f.message}" for f in failures if f.level is FailureLevel.ERROR]


def main() -> None:
    warnings.simplefilter("ignore")
    texts: dict[str, str] = json.load(sys.stdin)
    json.dump({name: said(text) for name, text in texts.items()}, sys.stdout)


if __name__ == "__main__":
    main()

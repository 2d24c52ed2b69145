"""``pcinfra schema``."""

from __future__ import annotations

import json

from click.testing import CliRunner

from pcinfra.cli.schema import schema as command
from pcinfra.project.schema import schema


def test_prints_the_schema() -> None:
    done = CliRunner().invoke(command)
    assert done.exit_code == 0
    assert json.loads(done.output) == schema()

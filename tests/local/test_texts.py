"""Any text of a job arrives on a real Slurm exactly as it was written, or is refused with a reason."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pcinfra.jobs.manifest import new_run_id
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.jobs.slurm.render import render
from pcinfra.jobs.spec import JobSpec
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from tests.local.machine import DirectHeadNode

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=120) | st.sampled_from(
    [
        "",
        "-n",
        "--",
        "$(touch x)",
        "`id`",
        "'",
        "\\",
        "\n",
        "\r\n",
        "# a",
        "EOF",
        "*",
        "~",
        "한글",
        "a,b:c",
        "x" * 10_000,
    ]
)
PLACE = st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..")
)
CASES = st.fixed_dictionaries(
    {
        "command": st.lists(TEXT, max_size=4),
        "environment": st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,8}X", fullmatch=True), TEXT, max_size=4),
        "sweep": st.fixed_dictionaries({"SWEPT": st.lists(TEXT, min_size=1, max_size=1)}),
        "name": st.text(max_size=20) | st.from_regex(r"[a-z][a-z0-9._-]{0,20}", fullmatch=True),
        "place": PLACE,
    }
)
PROBE = """
import json, os, sys
seen = {name: os.environ.get(name) for name in ("PCINFRA_DATA", "PCINFRA_CHECKPOINTS", "SWEPT", *os.environ)}
json.dump([sys.argv[2:], seen, os.getcwd()], open(sys.argv[1] + "/out", "w"))
"""


@settings(max_examples=2, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(cases=st.lists(CASES, min_size=15, max_size=15))
def test_any_text_arrives_exactly_or_is_refused_with_a_reason(
    launcher: SlurmLauncher, head: DirectHeadNode, cluster: SlurmCluster, cases: list[dict[str, Any]]
) -> None:
    """Many jobs of hostile texts at a time, so that a real Slurm can run them all."""
    top = cluster.shared_path("/lustre")
    folder = top / f"h-{uuid4().hex}"
    inside = f"/lustre/{folder.name}" if os.geteuid() == 0 else str(folder)
    folder.mkdir()
    sent = []
    for number, case in enumerate(cases):
        place = folder / str(number) / case["place"]
        place.mkdir(parents=True)
        path = f"{inside}/{number}/{case['place']}"
        fields = {
            "name": case["name"],
            "command": ["python3", "-c", PROBE, f"{inside}/{number}", *case["command"]],
            "environment": case["environment"],
            "sweep": case["sweep"],
            "workdir": path,
            "data": path,
            "checkpoints": f"{path}/more",
            "cpus": 1,
        }
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}|", case["name"]):
            with pytest.raises(ValidationError, match=r"name\n.*must be at most 60 letters"):
                JobSpec.model_validate_json(json.dumps(fields))
            continue
        spec = JobSpec.model_validate_json(json.dumps(fields))
        sent.append((number, case, render(spec, new_run_id(spec.name or "none"))))
    subprocess.run(["chmod", "-R", "a+rwX", str(folder)], check=True)
    answers = launcher.submit_all([made for _, _, made in sent])
    assert [answer for answer in answers if not isinstance(answer, str)] == []
    runs = " ".join(made.run for _, _, made in sent)
    head.run(f"for run in {runs}; do until [ -s $run/result.jsonl ]; do sleep 0.1; done; done", timeout=120).check()
    for number, case, _ in sent:
        words, seen, where = json.loads((folder / str(number) / "out").read_text())
        path = f"{inside}/{number}/{case['place']}"
        assert words == case["command"]
        assert {name: seen[name] for name in case["environment"]} == case["environment"]
        assert [seen["SWEPT"]] == case["sweep"]["SWEPT"]
        assert (where, seen["PCINFRA_DATA"], seen["PCINFRA_CHECKPOINTS"]) == (path, path, f"{path}/more/0")

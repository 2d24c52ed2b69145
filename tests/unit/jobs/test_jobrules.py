"""What Slurm asks of a job file besides, from the command line, from Python and when it is only rendered."""

from __future__ import annotations

from pathlib import Path

import pytest

from pcinfra import JobSpec, submit
from pcinfra.cli.backends import rules
from pcinfra.cli.session import Session
from pcinfra.errors import InputError
from pcinfra.jobs.load import load
from pcinfra.jobs.secrets import Reference, reference
from pcinfra.jobs.targets import REGISTRY

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a/b-AbCdEf"


def test_a_secret_of_kubernetes_is_refused_with_what_to_write(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("command: [a]\nsecrets: {T: 'k8s:hf#token', K: 'ssm:/a'}\n")
    here = Session(project_file=str(tmp_path / "none.yaml"))
    for asked in (rules(here, None), rules(here, "train"), REGISTRY["sbatch"].rules):
        with pytest.raises(InputError) as caught:
            load(file, rules=asked)
        (problem,) = caught.value.problems
        assert (problem.line, problem.key, problem.hint) == (2, "secrets.T", "secretsmanager:hf#token")
    with pytest.raises(InputError, match="no node of a Slurm cluster can read"):
        submit(JobSpec(command=("a",), secrets={"T": "k8s:hf#token"}))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("secretsmanager:team/hf#token", Reference("secretsmanager", "team/hf", "token")),
        ("ssm:/a/b", Reference("ssm", "/a/b")),
        ("k8s:hf.example#a.b", Reference("k8s", "hf.example", "a.b")),
        (f"{ARN}#k", Reference("secretsmanager", ARN, "k", "eu-west-1")),
        (
            "arn:aws:ssm:us-east-1:123456789012:parameter/a",
            Reference("ssm", "arn:aws:ssm:us-east-1:123456789012:parameter/a", "", "us-east-1"),
        ),
    ],
)
def test_references_are_taken_apart(text: str, found: Reference) -> None:
    assert reference(text) == found

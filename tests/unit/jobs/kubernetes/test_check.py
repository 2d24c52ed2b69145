"""`pcinfra k8s check` on what is no manifest, or a strange one: one error, and no other end."""

from __future__ import annotations

from contextlib import suppress

import pytest
from click.testing import CliRunner, Result

from pcinfra.cli.main import root
from pcinfra.errors import PcinfraError, UsageError
from pcinfra.jobs.kubernetes.check import faults
from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.migrate import migrate
from pcinfra.jobs.kubernetes.render import pytorchjob, trainjob
from pcinfra.jobs.kubernetes.render.runtimes import pytorch_simple
from tests.unit.jobs.kubernetes.jobs import FULL, job
from tests.unit.jobs.kubernetes.mutations import mutated


def run(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(root, list(words), input=stdin)


BOMB = "kind: X\na: &a [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    "text", ["", BOMB, "kind: X\na: &a [*a]", "a: [", "- 1", "kind: 3", "just text", "kind: List\nitems: 5"]
)
def test_what_is_no_manifest_is_refused(text: str) -> None:
    done = run("k8s", "check", "-", stdin=text)
    assert isinstance(done.exception, PcinfraError)
    assert done.exception.exit_code == 2


# What no schema is put to, and is not what the rules take for granted: where it is told, and why.
MISSHAPEN: list[tuple[str, str]] = [
    ("kind: TrainJob\nspec: 3", "spec: must be a map"),
    ("kind: TrainJob\nmetadata: {labels: [a]}\nspec: {}", "metadata.labels: must be a map"),
    ("kind: TrainJob\nspec: {trainer: {command: python train.py}}", "spec.trainer.command: must be a list"),
    ("kind: TrainJob\nspec: {trainer: {env: [{name: A, value: 1}]}}", "spec.trainer.env[0].value: must be text"),
    ("kind: PyTorchJob\nspec: {pytorchReplicaSpecs: {Worker: 3}}", "spec.pytorchReplicaSpecs.Worker: must be a map"),
    ("kind: PyTorchJob\nspec: {nprocPerNode: 8}", "spec.nprocPerNode: must be text"),
    ("kind: ConfigMap\ndata: {a: 1}", "data.a: must be text"),
    ("kind: ClusterRole\nrules: {a: b}", "rules: must be a list"),
    ("resources: [a]\nreplacements: [b]", "replacements[0]: must be a map"),
]


@pytest.mark.parametrize(("text", "why"), MISSHAPEN)
def test_what_is_misshapen_is_told(text: str, why: str) -> None:
    refused = run("k8s", "check", "-", stdin=text).exception
    assert isinstance(refused, UsageError)
    assert why in str(refused)


def test_no_manifest_is_too_strange_to_be_checked_or_migrated() -> None:
    runtime = pytorch_simple(Dialect.V2_1)
    given = [pytorchjob.render(job(FULL)).job, trainjob.render(job(FULL), Dialect.V2_1).job, runtime]
    for seed in range(600):
        value = mutated(given[seed % len(given)], seed)
        assert all(str(fault) for fault in faults(value, runtime=runtime))
        with suppress(UsageError):
            migrate(value, Dialect.V2_1)

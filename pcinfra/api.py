"""pcinfra from Python: the same as its command line, with the same checks and errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pcinfra.cli import backends
from pcinfra.cli.runs import launcher_for, named
from pcinfra.cli.session import Session
from pcinfra.cli.submit import rendered, submitted
from pcinfra.errors import InputError, PcinfraError, Problem
from pcinfra.jobs.load import findings, finished
from pcinfra.jobs.spec import JobSpec
from pcinfra.project.document import dotted
from pcinfra.project.positions import Rule


def submit(
    spec: JobSpec,
    *,
    cluster: str | None = None,
    project_file: str | Path | None = None,
    profile: str = "",
    local: bool = False,
    folder: str | Path = ".",
) -> str:
    """Submit a job and return its run's id, by which ``pcinfra logs`` and its like know it.

    Args:
        cluster: its name; None: the project's only one.
        project_file: None: ``pcinfra.yaml`` here.
        profile: named profile of the AWS configuration.
        local: use the local cloud of this machine.
        folder: where the script and the code that ``spec`` names are looked for.

    Raises:
        InputError: fields of ``spec`` contradict each other.
        PcinfraError: it was not submitted.
    """
    (run,) = submit_all([spec], cluster=cluster, project_file=project_file, profile=profile, local=local, folder=folder)
    return run


def submit_all(
    specs: Sequence[JobSpec],
    *,
    cluster: str | None = None,
    project_file: str | Path | None = None,
    profile: str = "",
    local: bool = False,
    folder: str | Path = ".",
) -> list[str]:
    """Submit jobs together and return their runs' ids; see :func:`submit`.

    Raises:
        PcinfraError: one was refused; the others run.
    """
    where = Path(folder)
    session = Session(local=local, project_file=str(project_file) if project_file else None, profile=profile)
    rules = backends.rules(session, cluster)
    problems = [problem for spec in specs for problem in _problems(spec, where, rules)]
    if problems:
        raise InputError(problems)
    if not specs:
        return []
    manifests = [rendered(session, finished(spec, where, session.shell), cluster) for spec in specs]
    answers = submitted(launcher_for(session, named(session, cluster)), manifests)
    for answer in answers:
        if isinstance(answer, PcinfraError):
            raise answer
    return [manifest.run for manifest in manifests]


def _problems(spec: JobSpec, folder: Path, rules: Sequence[Rule[JobSpec]]) -> list[Problem]:
    found = [*findings(spec, folder), *(each for rule in rules for each in rule(spec))]
    return [Problem(f"JobSpec {spec.name}".strip(), 0, 0, dotted(each.path), each.why, each.hint) for each in found]

"""``pcinfra init``: a few questions, then a commented ``pcinfra.yaml``."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pcinfra.errors import InputError, Problem, UsageError

if TYPE_CHECKING:
    from pcinfra.project import Project

Settings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask: its flag's parameter, the words, the default, and the settings that an answer makes."""

    name: str
    words: str
    default: str
    settings: Callable[[str], Settings]

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    def problem(self, answer: str) -> tuple[str, str] | None:
        """Return why ``answer`` cannot be, and what could be instead; None when it can be."""
        try:
            _project({self.name: answer})
        except InputError as error:
            problem = error.problems[0]
            return problem.why, problem.hint.partition(": ")[2] or problem.hint
        return None


def _queue(**values: Any) -> Settings:
    return {"clusters": {"train": {"queues": [values]}}}


def _nodes(answer: str) -> Settings:
    count = int(answer) if re.fullmatch(r"-?[0-9]{1,6}", answer) else answer
    return _queue(max_nodes=count, min_nodes=count)


QUESTIONS = (
    Question("project", "Name of the project", "training", lambda answer: {"project": answer}),
    Question("region", "AWS region", "us-east-1", lambda answer: {"region": answer}),
    Question("instance_type", "Instance type of the compute nodes", "p5.48xlarge", lambda a: _queue(instance_type=a)),
    Question("nodes", "Number of compute nodes", "2", _nodes),
)


@click.command()
@click.option("--yes", "-y", is_flag=True, help="Ask nothing: take the defaults for what no option says.")
@click.option("--project", metavar="NAME", help="Name of the project.")
@click.option("--region", metavar="REGION", help="AWS region.")
@click.option("--instance-type", metavar="TYPE", help="EC2 instance type of the compute nodes.")
@click.option("--nodes", metavar="N", help="Number of compute nodes.")
@click.option("--force", is_flag=True, help="Replace a pcinfra.yaml that is there.")
@click.pass_context
def init(ctx: click.Context, /, *, yes: bool, force: bool, **given: str | None) -> None:
    """Write a commented pcinfra.yaml: every setting, what it means and what it may be.

    Asks a few questions first; every answer can be changed in the file afterwards.
    """
    from pcinfra.project.write import refuse_existing, write_project

    path = Path(getattr(ctx.obj, "project_file", None) or "pcinfra.yaml")
    refuse_existing(path, force=force)
    project = _project(_answers(given, ask=not yes))
    write_project(project, path, force=force)
    click.echo(_done(project, path))


def _answers(given: dict[str, str | None], *, ask: bool) -> dict[str, str]:
    """Return an answer to every question: given, asked for or the default. A given one is checked first."""
    answers = {question.name: str(given[question.name]) for question in QUESTIONS if given[question.name] is not None}
    _check_flags(answers)
    open_questions = [question for question in QUESTIONS if question.name not in answers]
    if ask and open_questions and not sys.stdin.isatty():
        flags = " ".join(f"{question.flag} ..." for question in open_questions)
        why = "asks questions, and the input is not a terminal"
        raise UsageError(why, where="pcinfra init", hint=f"pcinfra init --yes   (or {flags})")
    for question in open_questions:
        answers[question.name] = _ask(question) if ask else question.default
    return answers


def _check_flags(answers: dict[str, str]) -> None:
    """Raise InputError with every flag whose value cannot be."""
    problems = []
    for question in QUESTIONS:
        wrong = question.problem(answers[question.name]) if question.name in answers else None
        if wrong:
            why, instead = wrong
            place = f"{question.flag} {answers[question.name]}"
            problems.append(Problem(place, 0, 0, "", why, f"{question.flag} {instead}" if instead else ""))
    if problems:
        raise InputError(problems)


def _ask(question: Question) -> str:
    while True:
        answer = str(click.prompt(question.words, default=question.default)).strip()
        problem = question.problem(answer)
        if problem is None:
            return answer
        why, instead = problem
        click.echo(f"  {answer}: {why}" + (f"\n  try: {instead}" if instead else ""))


def _project(answers: dict[str, str]) -> Project:
    """Return the project of some answers and the defaults for the rest, checked as a file would be."""
    from pcinfra.project.load import parse
    from pcinfra.project.wording import as_yaml

    settings: Settings = {}
    for question in QUESTIONS:
        if question.name in answers:
            _merge(settings, question.settings(answers[question.name]))
    return parse(as_yaml(settings), "the answers")


def _merge(settings: Any, more: Any) -> None:
    """Add nested settings to others; lists are merged item by item."""
    for key, value in more.items():
        if isinstance(value, list) and key in settings:
            _merge(settings[key][0], value[0])
        elif isinstance(value, dict) and key in settings:
            _merge(settings[key], value)
        else:
            settings[key] = value


def _done(project: Project, path: Path) -> str:
    queue = project.clusters["train"].queues[0]
    file = "" if path == Path("pcinfra.yaml") else f"-f {path} "
    return "\n".join(
        (
            f"wrote {path}: project {project.project}, {project.region}, {queue.max_nodes} x {queue.instance_type}",
            "next:",
            f"  pcinfra {file}--local up    try it on this machine, without an AWS account",
            f"  pcinfra {file}plan          what it would make in your AWS account",
            f"  pcinfra {file}up            make it",
        )
    )

"""pcluster as a program that is begun before it is asked anything."""

from __future__ import annotations

import json
import os

import pytest

from pcinfra.clusters import program
from pcinfra.shell import Subprocess
from tests.unit.clusters.fakes import FakeShell

pytest.importorskip("pcluster")


def test_a_question_says_what_was_put_into_it() -> None:
    said = (("create-cluster", "-n", "a\nb", ""), {"KEY": "1\n2", "ß": "\x7f"}, "Region: x\n---\n\n")
    assert program.asked(program.question(*said)) == said


def test_the_answer_is_that_of_pcluster() -> None:
    asked = program.question(["version"], dict(os.environ), "")
    done = Subprocess().run(program.COMMAND, stdin=asked, env=program.environment())
    assert done.status == 0, done.stderr
    assert "version" in json.loads(done.stdout)


def test_asked_nothing_it_ends_and_says_nothing() -> None:
    done = Subprocess().run(program.CREATING, env=program.environment())
    assert (done.status, done.stdout) == (0, "")


def test_it_is_begun_where_a_creation_would_find_what_it_needs() -> None:
    shell = FakeShell()
    program.begin(shell)
    assert shell.begun == [program.CREATING]
    without_node = FakeShell(programs=())
    program.begin(without_node)
    assert without_node.begun == []

"""Every broken file in ``bad/`` is refused with exactly the problems that it names.

The expectations are the comments that a file begins with, or a file ``NAME.expect`` beside one that is not text::

    # error LINE:COLUMN KEY: the beginning of why      (- for no key, 0:0 for the whole file)
    # try   the hint                                   (absent where there is none)
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pcinfra.errors import InputError
from pcinfra.project.load import load

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
EXPECTED = re.compile(r"# error (\d+):(\d+) (\S+): (.*)(?:\n# try   (.*))?")


def test_the_corpus_is_large() -> None:
    assert len(BAD) >= 60


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_is_refused_with_every_problem(path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(path)
    sidecar = path.with_suffix(".expect")
    expected = EXPECTED.findall(sidecar.read_text() if sidecar.exists() else path.read_text())
    problems = caught.value.problems
    found = [(str(p.line), str(p.column), p.key or "-", p.hint) for p in problems]
    assert found == [(line, column, key, hint) for line, column, key, _, hint in expected]
    for problem, (*_, why, _hint) in zip(problems, expected, strict=True):
        assert problem.why.startswith(why)
        assert problem.file.endswith(path.name)
    assert caught.value.exit_code == 2

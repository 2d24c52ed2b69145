"""``pcinfra init`` as a user types it: in a folder, and at a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from pcinfra.errors import PcinfraError, Refused
from pcinfra.project import Project
from pcinfra.project.load import load
from pcinfra.project.schema import schema_text
from pcinfra.project.write import write_project

PCINFRA = [sys.executable, "-m", "pcinfra.cli.main"]
ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "TERM": "dumb"}


def pcinfra(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PCINFRA, *arguments],
        cwd=folder,
        env=ENV,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_yes_writes_the_defaults_and_says_what_is_next(tmp_path: Path) -> None:
    done = pcinfra(tmp_path, "init", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert load(tmp_path / "pcinfra.yaml") == Project()
    assert (tmp_path / ".pcinfra/schema.json").read_text() == schema_text()
    assert done.stdout.splitlines()[0] == "wrote pcinfra.yaml: project training, us-east-1, 2 x p5.48xlarge"
    assert "pcinfra --local up" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [".pcinfra", "pcinfra.yaml"]


def test_options_answer_every_question(tmp_path: Path) -> None:
    options = ["--project", "nlp", "--region", "eu-west-1", "--instance-type", "p5en.48xlarge", "--nodes", "4"]
    assert pcinfra(tmp_path, "init", *options).returncode == 0
    project = load(tmp_path / "pcinfra.yaml")
    queue = project.clusters["train"].queues[0]
    assert (project.project, project.region) == ("nlp", "eu-west-1")
    assert (queue.instance_type, queue.min_nodes, queue.max_nodes) == ("p5en.48xlarge", 4, 4)


def test_another_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    done = pcinfra(tmp_path, "-f", "sub/b.yaml", "init", "--yes", "--nodes", "1")
    assert "pcinfra -f sub/b.yaml plan" in done.stdout
    assert load(tmp_path / "sub/b.yaml").clusters["train"].queues[0].max_nodes == 1


def test_every_wrong_option_is_named_at_once(tmp_path: Path) -> None:
    done = pcinfra(tmp_path, "init", "--yes", "--project", "My Team", "--region", "us-east-1a", "--nodes", "none")
    assert done.returncode == 2
    assert "--project My Team: must be 1 to 40" in done.stderr
    assert "try: --project my-team" in done.stderr
    assert "try: --region us-east-1\n" in done.stderr
    assert "--nodes none: must be a whole number" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_nothing_is_asked(tmp_path: Path) -> None:
    done = pcinfra(tmp_path, "init", "--region", "us-west-2")
    assert done.returncode == 2
    assert "not a terminal" in done.stderr
    assert "pcinfra init --yes" in done.stderr
    assert "--project" in done.stderr
    assert "--region" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    file = tmp_path / "pcinfra.yaml"
    file.write_text("project: mine\n")
    done = pcinfra(tmp_path, "init", "--yes")
    assert done.returncode == 1
    assert "exists already" in done.stderr
    assert "--force" in done.stderr
    assert file.read_text() == "project: mine\n"
    assert pcinfra(tmp_path, "init", "--yes", "--force").returncode == 0
    assert load(file) == Project()


def test_a_broken_link_counts_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "pcinfra.yaml").symlink_to("nowhere")
    assert pcinfra(tmp_path, "init", "--yes").returncode == 1


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = pcinfra(tmp_path, "-f", "no/such/pcinfra.yaml", "init", "--yes")
    assert done.returncode == 1
    assert done.stderr == "error: no/such/pcinfra.yaml: cannot be written: No such file or directory\n"


def test_of_two_at_once_one_writes(tmp_path: Path) -> None:
    def attempt(number: int) -> bool:
        try:
            write_project(Project(project=f"p{number}"), tmp_path / "pcinfra.yaml")
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [number for number, wrote in enumerate(pool.map(attempt, range(8))) if wrote]
    assert [f"p{number}" for number in won] == [load(tmp_path / "pcinfra.yaml").project]


def test_a_full_or_forbidden_folder_is_an_error_of_ours() -> None:
    with pytest.raises(PcinfraError, match=r"^/proc/pcinfra\.yaml: cannot be written: "):
        write_project(Project(), Path("/proc/pcinfra.yaml"))


# --- at a terminal -----------------------------------------------------------------------------------------------


class Terminal:
    """The other end of a pseudo-terminal on which ``pcinfra init`` runs."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.master = master
        self.seen = ""

    def answer(self, prompt: str, line: str) -> None:
        """Wait until ``prompt`` is the last thing on the screen, then type ``line``."""
        self.press(prompt, f"{line}\n")

    def press(self, prompt: str, keys: str) -> None:
        self._read(lambda: self.seen.endswith(prompt))
        self.seen += "<typed>"
        os.write(self.master, keys.encode())

    def end(self, again: str = "") -> int:
        """Wait for the end. ``again`` is pressed every second: Python misses a Ctrl-C just before it reads."""
        self._read(lambda: False, again)
        return self.process.wait(30)

    def _read(self, enough: Callable[[], bool], again: str = "") -> None:
        deadline = time.monotonic() + 60
        while not enough():
            ready, _, _ = select.select([self.master], [], [], 1)
            try:
                if ready:
                    self.seen += os.read(self.master, 4096).decode()
                else:
                    os.write(self.master, again.encode())
            except OSError:  # EIO: the other side has closed
                return
            assert time.monotonic() < deadline, f"nothing more came after {self.seen!r}"


def _own_terminal() -> None:
    """Make the terminal the session's own, so that Ctrl-C reaches it (tty_ioctl(4), TIOCSCTTY)."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def terminal(folder: Path, *arguments: str) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    with subprocess.Popen(
        [*PCINFRA, *arguments], cwd=folder, env=ENV, stdin=slave, stdout=slave, stderr=slave,
        start_new_session=True, preexec_fn=_own_terminal,
    ) as process:  # fmt: skip
        os.close(slave)
        try:
            yield Terminal(process, master)
        finally:
            process.kill()
            os.close(master)


def test_questions_at_a_terminal(tmp_path: Path) -> None:
    with terminal(tmp_path, "init", "--region", "eu-north-1") as screen:
        screen.answer("Name of the project [training]: ", "My Team")
        screen.answer("Name of the project [training]: ", "team-7")
        screen.answer("Instance type of the compute nodes [p5.48xlarge]: ", "p5")
        screen.answer("Instance type of the compute nodes [p5.48xlarge]: ", "")
        screen.answer("Number of compute nodes [2]: ", "0")
        screen.answer("Number of compute nodes [2]: ", "ten")
        screen.answer("Number of compute nodes [2]: ", " 3 ")
        assert screen.end() == 0
    assert "My Team: must be 1 to 40 lower-case letters" in screen.seen
    assert "try: my-team" in screen.seen
    assert "p5: is not the name of an EC2 instance type" in screen.seen
    assert "0: must be at least 1" in screen.seen
    assert "ten: must be a whole number" in screen.seen
    assert "wrote pcinfra.yaml: project team-7, eu-north-1, 3 x p5.48xlarge" in screen.seen
    assert load(tmp_path / "pcinfra.yaml").project == "team-7"


@pytest.mark.parametrize("key", ["\x04", "\x03"], ids=["ctrl-d", "ctrl-c"])
def test_leaving_the_questions_writes_nothing(tmp_path: Path, key: str) -> None:
    with terminal(tmp_path, "init") as screen:
        screen.answer("Name of the project [training]: ", "x")
        screen.press("AWS region [us-east-1]: ", key)
        assert screen.end(again=key) == 130
    assert list(tmp_path.iterdir()) == []


def test_yes_asks_nothing_at_a_terminal_either(tmp_path: Path) -> None:
    with terminal(tmp_path, "init", "--yes") as screen:
        assert screen.end() == 0
    assert "[" not in screen.seen

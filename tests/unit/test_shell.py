"""The door to subprocesses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pcinfra.errors import CommandFailed, MissingTool
from pcinfra.shell import Subprocess


def test_status_and_output_are_the_commands(tmp_path: os.PathLike[str]) -> None:
    done = Subprocess().run(["sh", "-c", "cat; echo no >&2; exit 3"], stdin="yes")
    assert (done.status, done.stdout, done.stderr) == (3, "yes", "no\n")
    with pytest.raises(CommandFailed, match="exit status 3\nno"):
        done.check()


def test_a_signal_is_a_status_above_128() -> None:
    assert Subprocess().run(["sh", "-c", "kill -9 $$"]).status == 137


def test_a_program_that_is_not_there_is_a_missing_tool() -> None:
    with pytest.raises(MissingTool, match="no-such-program is not installed"):
        Subprocess().run(["no-such-program"])


def test_after_its_time_a_command_is_killed() -> None:
    with pytest.raises(CommandFailed, match=r"no end after 0\.2 s"):
        Subprocess().run(["sleep", "600"], timeout=0.2)


def test_what_takes_long_tells_its_lines_as_they_come() -> None:
    told: list[str] = []
    script = "echo one; echo two >&2; printf 'half\\rrest'; exit 3"
    done = Subprocess(told.append).stream(["sh", "-c", script])
    assert told == ["one", "two", "half", "rest"]
    assert (done.status, done.stderr) == (3, "")
    with pytest.raises(CommandFailed, match="exit status 3\none\ntwo\nhalf\nrest"):
        done.check()


def test_of_very_much_the_end_is_kept() -> None:
    told: list[str] = []
    done = Subprocess(told.append).stream(["seq", "5000"])
    assert len(told) == 5000
    assert done.stdout.splitlines() == told[-200:]


def test_bytes_that_are_no_text_are_told_all_the_same() -> None:
    told: list[str] = []
    Subprocess(told.append).stream(["printf", r"a\377b\n"])
    assert told == ["a\ufffdb"]


def test_a_long_program_that_is_not_there_is_a_missing_tool() -> None:
    with pytest.raises(MissingTool, match="no-such-program is not installed"):
        Subprocess().stream(["no-such-program"])


CALLER = """
import threading
from pcinfra.shell import Subprocess

ended = threading.Event()

def call():
    print(Subprocess().run(["sh", "-c", "read x < FIFO; echo $x"]).stdout, end="", flush=True)
    ended.set()

threading.Thread(target=call).start()
try:
    print("up", flush=True)
    while not ended.wait(0.1):  # a signal that comes just before a wait without end would not end it
        pass
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_at_the_terminal_lets_the_command_end(tmp_path: os.PathLike[str]) -> None:
    fifo = os.path.join(tmp_path, "fifo")
    os.mkfifo(fifo)
    argv = [sys.executable, "-c", CALLER.replace("FIFO", fifo)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
    killer = threading.Timer(60, process.kill)
    killer.start()
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    with open(fifo, "w", encoding="utf-8") as gate:  # opens once the command reads
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        gate.write("to the end\n")
    assert process.stdout.read() == "to the end\n"
    process.stdout.close()
    process.wait()
    killer.cancel()


def test_a_program_that_was_begun_is_handed_the_next_run_of_it(tmp_path: Path) -> None:
    shell, script = Subprocess(), f"echo begun >>{tmp_path}/starts; cat; exit 3"
    shell.begin(["sh", "-c", script], env=os.environ)
    assert shell.run(["sh", "-c", "cat"], stdin="another", env=os.environ).stdout == "another"
    done = shell.run(["sh", "-c", script], stdin="said", env=os.environ)
    assert (done.status, done.stdout) == (3, "said")
    assert (tmp_path / "starts").read_text() == "begun\n"
    assert shell.run(["sh", "-c", script], stdin="again", env=os.environ).stdout == "again"
    assert (tmp_path / "starts").read_text() == "begun\nbegun\n"


def test_a_program_that_cannot_be_begun_is_missed_when_it_is_run() -> None:
    shell = Subprocess()
    shell.begin(["no-such-program"], env={})
    with pytest.raises(MissingTool):
        shell.run(["no-such-program"], env={})


BEGINNER = """
import os, sys
from pcinfra.shell import Subprocess

Subprocess().begin(["sh", "-c", "sleep 600 & echo $$ $! >FIFO; exec sleep 600"], env=dict(os.environ))
print(open("FIFO").read(), flush=True)
"""


def test_what_was_begun_and_is_not_needed_ends_with_us_and_with_all_that_it_started(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    program = BEGINNER.replace("FIFO", str(tmp_path / "fifo"))
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    deadline = time.monotonic() + 60
    while alive := [pid for pid in done.stdout.split() if running(pid)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.05)


def running(pid: str) -> bool:
    """A process that nobody has waited for yet does not run."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pcinfra.localcloud.slurm.records import MARK, Process, Record, descendants, marked, wait_gone


def test_a_recycled_pid_is_not_taken_for_the_process() -> None:
    other = Process(os.getpid(), "some other start")
    assert not other.alive
    other.kill()  # would end this test


def test_a_process_is_known_until_it_ends() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        process = Process.find(child.pid)
        assert process is not None
        assert wait_gone([process], 0) == [process]
        process.kill()
        child.wait()
        assert wait_gone([process], 0) == []


def test_records_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    record = Record(Process(1, "a:1"), Process(2, "b:2"))
    record.write(path)
    assert Record.read(path) == record
    Record(Process(1, "a:1")).write(path)
    assert Record.read(path) == Record(Process(1, "a:1"))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"supervisor": 1}', '{"supervisor": [1, 2, 3]}', "null"])
def test_a_broken_record_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "node.json"
    path.write_text(text)
    assert Record.read(path) is None


def test_descendants_and_marks_find_what_was_left_behind() -> None:
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"  # it tells when its program has begun
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    environment = {**os.environ, MARK: "a-test-of-records"}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        assert [process.pid for process in descendants([parent.pid])] == [grandchild]
        found = marked("a-test-of-records")
        assert {process.pid for process in found} == {parent.pid, grandchild}
        assert marked("a-test") == []
        for process in found:
            process.kill()

"""The epilog drains a node for what a job says of it, and takes nothing from who may not say it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from tests.unit.bootstrap.node import HEAD, program

EPILOG = HEAD.parent / "parts" / "unhealthy.sh"
USER, OTHER = 65534, 65533

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the epilog becomes the job's user, which needs root")


class Epilog:
    """The epilog of one job, and the note that it looks for."""

    def __init__(self, folder: Path) -> None:
        self.job = f"pcinfra-test-{uuid4().hex}"
        self.note = Path(f"/var/tmp/pcinfra-unhealthy.{self.job}.n1")
        self.calls = folder / "calls"
        program(folder / "scontrol", f'printf "%s\\n" "$@" >>{self.calls}')
        self.scontrol = str(folder / "scontrol")

    def write(self, text: bytes, owner: int = USER) -> None:
        self.note.write_bytes(text)
        os.chown(self.note, owner, owner)

    def run(self) -> str:
        """Return the reason with which the node is drained; empty when it is not."""
        environment = {"SLURM_JOB_ID": self.job, "SLURM_JOB_UID": str(USER), "SLURMD_NODENAME": "n1",
                       "SCONTROL": self.scontrol, "PATH": "/usr/bin:/bin"}  # fmt: skip
        done = subprocess.run(["bash", str(EPILOG)], env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        if not self.calls.exists():
            return ""
        *words, reason = self.calls.read_text().splitlines()
        assert words == ["update", "nodename=n1", "state=drain"]
        return reason.removeprefix(f"reason=pcinfra: job {self.job}: ")


@pytest.fixture
def epilog(tmp_path: Path) -> object:
    made = Epilog(tmp_path)
    yield made
    made.note.unlink(missing_ok=True)


def test_what_the_job_says_is_the_reason(epilog: Epilog) -> None:
    assert epilog.run() == ""
    epilog.write(b'GPU 3: "lost"\x1b[31m $(id) `id`\nmore\n')
    assert epilog.run() == "GPU 3: lost[31m $(id) `id`"
    assert not epilog.note.exists()


def test_a_note_of_somebody_else_counts_for_nothing(epilog: Epilog) -> None:
    epilog.write(b"not mine\n", OTHER)
    assert epilog.run() == ""


def test_a_link_to_what_only_root_may_read_tells_nothing(epilog: Epilog, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    epilog.note.symlink_to(secret)
    os.lchown(epilog.note, USER, USER)
    assert epilog.run() == ""
    epilog.note.unlink()
    epilog.note.mkdir()
    assert epilog.run() == ""
    epilog.note.rmdir()


def test_a_long_text_is_cut(epilog: Epilog) -> None:
    epilog.write(b"x" * 100_000)
    assert epilog.run() == "x" * 200

"""Images of jobs on a real Slurm: one that is named by a tag is imported once, and goes when nobody uses it.

Enroot, Pyxis and the registry are programs that do as little as they must.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pcinfra.jobs.follow import Follower
from pcinfra.jobs.launcher import State, Status
from pcinfra.jobs.manifest import new_run_id
from pcinfra.jobs.slurm.images import prune
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.jobs.slurm.render import render
from pcinfra.jobs.spec import JobSpec
from pcinfra.shell import Completed
from tests.local.machine import DirectHeadNode, two_nodes

DIGEST = "ab" * 32
PROGRAMS = {
    "curl": f"""
[ ! -e "$(dirname "$0")/unreachable" ] || exit 7
printf 'HTTP/1.1 200 OK\\r\\nDocker-Content-Digest: sha256:{DIGEST}\\r\\n\\r\\n'
""",
    "enroot": 'echo "$4" >>"$(dirname "$0")/imports"; echo image >"$3"',
    "unsquashfs": "",
    "srun": """
[ "$1" != --help ] || { echo '  --container-image=[USER@]...'; exit; }
for word; do
  shift
  case $word in
    --container-image=*) echo "in ${word##*/}" ;;
    --container-* | --no-container-*) ;;
    *) set -- "$@" "$word" ;;
  esac
done
exec /usr/bin/srun "$@"
""",
}


class WithPyxis(DirectHeadNode):
    def run(self, script: str, *, timeout: float = 60.0, quiet: float = 0.0) -> Completed:
        return super().run(f"export PATH=$(realpath ..)/programs:$PATH\n{script}", timeout=timeout)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WithPyxis]:
    cluster = two_nodes(tmp_path_factory.mktemp("slurm") / "train")
    cluster.start()
    head = WithPyxis(cluster)
    head.put({f"../programs/{name}": f"#!/bin/bash\n{text}".encode() for name, text in PROGRAMS.items()})
    head.run("chmod 755 ../programs/*").check()
    yield head
    cluster.destroy()


def ended(head: WithPyxis, run: str) -> tuple[Status, str]:
    shown: list[bytes] = []
    status = Follower(SlurmLauncher(head), shown.append, lambda _: None).follow(run)
    return status, b"".join(shown).decode()


def test_an_image_by_tag_is_imported_once_and_goes_when_nobody_uses_it(head: WithPyxis) -> None:
    launcher = SlurmLauncher(head)
    spec = JobSpec(command=("true",), cpus=1, image="nvcr.io/team/training:25.01")
    made = [render(spec, new_run_id(f"job{number}")) for number in range(2)]
    launcher.submit_all(made)
    for each in made:
        status, log = ended(head, each.run)
        assert (status.state, f"in {DIGEST}.sqsh" in log) == (State.DONE, True), log
    imports = head.run("cat ../programs/imports").check().stdout.splitlines()
    assert imports == [f"docker://nvcr.io#team/training@sha256:{DIGEST}"]

    waits = render(spec, new_run_id("waits"))
    launcher.submit(waits)
    assert ended(head, waits.run)[0].state is State.DONE
    assert head.run("wc -l <../programs/imports").stdout.strip() == "1"

    (found,) = prune(head, 1)
    assert (found.digest, found.what) == (DIGEST, "in use"), "a job gave a sign of itself in the last minutes"
    head.run("touch -d '-1 hour' */signs.*").check()
    assert [each.what for each in prune(head, 1)] == ["used lately"]
    old = f"touch -d '-40 days' .images/{DIGEST}.sqsh"
    held = head.run(f"{old}; cd {waits.run} && sbatch --parsable --hold job.sbatch 0").check().stdout.strip()
    assert [each.what for each in prune(head, 30)] == ["in use"]
    head.run(f"scancel {held}").check()
    head.run(f"while squeue -h -j {held} -o %i 2>/dev/null | grep -q .; do sleep 0.1; done").check()
    assert [each.what for each in prune(head, 30, dry=True)] == ["would go"]
    (gone,) = prune(head, 30)
    assert (gone.what, gone.age, gone.size) == ("removed", 40, len("image\n"))
    assert prune(head, 30) == []


def test_without_an_answer_each_node_imports_it_and_the_job_says_so(head: WithPyxis) -> None:
    head.run("touch ../programs/unreachable").check()
    made = render(JobSpec(command=("true",), cpus=1, image="ghcr.io/a/b:1"), new_run_id("alone"))
    SlurmLauncher(head).submit(made)
    status, log = ended(head, made.run)
    head.run("rm ../programs/unreachable").check()
    assert (status.state, "in ghcr.io#a/b:1" in log or "in b:1" in log) == (State.DONE, True), log
    assert "Each node imports the image: ghcr.io does not answer" in log

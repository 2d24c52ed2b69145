"""The command of every pod, word by word: no shell ever reads a value of the user's."""

from __future__ import annotations

from pcinfra.jobs.kubernetes.render.expansion import literal, variable
from pcinfra.jobs.kubernetes.render.files import FETCH, LAUNCH, LAUNCHERS, MOUNT, START, fetches, has_files, program
from pcinfra.jobs.kubernetes.render.model import Job

_CHANGE = 'cd -- "$PCINFRA_WORKDIR" && exec "$@"'
_TF_CONFIG = '. /shared-env/tf_config.env && exec "$@"'


def command(job: Job, *, elastic: bool = False) -> list[str]:
    """Return the words of the container's ``command``.

    Args:
        elastic: the operator itself gives every agent its rendezvous (PyTorchJob with elasticPolicy).
    """
    words = [literal(word) for word in program(job)]
    if job.spec.launcher in LAUNCHERS:
        words = ["sh", f"{MOUNT}/{LAUNCH}"]
    if job.spec.launcher == "torchrun":
        words = [*torchrun(job, elastic=elastic), *words]
    if job.settings.framework == "tensorflow":
        words = ["sh", "-c", _TF_CONFIG, "sh", *words]
    if has_files(job):
        words = ["sh", f"{MOUNT}/{START}", *words]
        return ["python3", f"{MOUNT}/{FETCH}", *words] if fetches(job) else words
    if job.spec.workdir:
        return ["sh", "-c", _CHANGE, "sh", *words]
    return words


def torchrun(job: Job, *, elastic: bool = False) -> list[str]:
    """Return torchrun's own words.

    It reads nodes, processes and address from the PET_ variables that the operators set; a flag would win over them
    and be wrong as soon as somebody changes the number of nodes. A job that restarts its processes needs a
    rendezvous that can be held again, which the static one cannot (torch, ``static_tcp_rendezvous.py``).
    """
    words = ["torchrun"]
    if job.spec.restarts and not elastic:
        endpoint = f"{variable('PET_MASTER_ADDR')}:{variable('PET_MASTER_PORT')}"
        words += ["--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}", f"--rdzv-id={job.name}"]
        words += [f"--max-restarts={job.spec.restarts}"]
    first = job.spec.command[0] if job.spec.command else ""
    return words if first.endswith(".py") else [*words, "--no-python"]

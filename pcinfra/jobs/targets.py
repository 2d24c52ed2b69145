"""What a job file can be rendered to, each in one line of a registry: ``pcinfra render JOB --to TARGET``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pcinfra.errors import UsageError
from pcinfra.jobs import load
from pcinfra.jobs.kubernetes import jobrules, naming, prepare
from pcinfra.jobs.kubernetes.check import Schemas, check
from pcinfra.jobs.kubernetes.dialect import NEWEST, Dialect
from pcinfra.jobs.kubernetes.render import kustomize, runtimes, volumes
from pcinfra.jobs.kubernetes.render.model import Job
from pcinfra.jobs.kubernetes.settings import Kind
from pcinfra.jobs.kubernetes.text import to_yaml
from pcinfra.jobs.manifest import new_run_id
from pcinfra.jobs.slurm import jobrules as slurmrules
from pcinfra.jobs.slurm import render as slurm
from pcinfra.jobs.spec import JobSpec
from pcinfra.project.positions import Rule


@dataclass(frozen=True, slots=True)
class Options:
    """What a rendering may depend on besides the job file.

    Args:
        run: the run's id; empty makes a new one.
        schemas: what the objects are checked by, besides the rules; None: nothing.
    """

    dialect: Dialect = NEWEST
    namespace: str = ""
    run: str = ""
    schemas: Schemas | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """Files by name, and notes for the reader."""

    files: dict[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that a job file can become.

    Args:
        rules: what it asks of a job file besides.
    """

    about: str
    render: Callable[[load.Job, Options], Output]
    rules: tuple[Rule[JobSpec], ...] = ()


def _sbatch(job: load.Job, options: Options) -> Output:
    manifest = slurm.render(job.spec, options.run or new_run_id(job.spec.name), job.script, job.code)
    texts = {f.name: f.content.decode(errors="replace") for f in manifest.files if not f.name.endswith(".tar.gz")}
    return Output(texts)


def _objects(kind: Kind) -> Callable[[load.Job, Options], Output]:
    def render(job: load.Job, options: Options) -> Output:
        prepared = _prepared(job, kind, options)
        rendered = prepare.render(prepared, kind, options.dialect)
        for each in rendered.objects:
            check(each, options.schemas)
        return Output({f"{kind.lower()}.yaml": to_yaml(rendered.objects)}, rendered.notes)

    return render


def _kustomize(job: load.Job, options: Options) -> Output:
    if job.spec.tasks is not None:
        why = f"has {job.spec.tasks} tasks, each a job of its own; a kustomize tree is one job"
        raise UsageError(why, where=job.spec.name, hint="--to trainjob, or a parameter in environment")
    kind = prepare.kind_of(job.spec, options.schemas)
    name = naming.slug(job.spec.name)
    named = replace(options, run=options.run or (name if name[:1].isalpha() else f"job-{name}"))
    rendered = prepare.render(_prepared(job, kind, named), kind, options.dialect)
    check(rendered.job, options.schemas)
    plain = None
    if job.spec.launcher == "torchrun":
        spec = job.spec.model_copy(update={"launcher": "srun", "restarts": 0, "processes": None})
        plain = prepare.render(_prepared(replace(job, spec=spec), kind, named), kind, options.dialect)
    return Output(kustomize.render(rendered, plain, job.spec, named.run), rendered.notes)


def _runtimes(job: load.Job, options: Options) -> Output:
    runtime = runtimes.RUNTIMES.get(job.spec.kubernetes.runtime_name, runtimes.pytorch_simple)(options.dialect)
    check(runtime, options.schemas)
    return Output({"runtime.yaml": to_yaml([runtime])})


def _volumes(job: load.Job, options: Options) -> Output:
    rendered = volumes.render(_prepared(job, "TrainJob", options))
    return Output({"volumes.yaml": to_yaml(rendered.objects)} if rendered.objects else {})


def _prepared(job: load.Job, kind: Kind, options: Options) -> Job:
    return prepare.prepare(job, kind, namespace=options.namespace, run=options.run)


_KUBERNETES = (jobrules.findings,)

REGISTRY: dict[str, Target] = {
    "sbatch": Target("Slurm: the files of the run directory", _sbatch, (slurmrules.findings,)),
    "trainjob": Target("Kubeflow Trainer v2", _objects("TrainJob"), _KUBERNETES),
    "pytorchjob": Target("Kubeflow training operator v1", _objects("PyTorchJob"), _KUBERNETES),
    "kustomize": Target("a base and an overlay for kustomize", _kustomize, _KUBERNETES),
    "runtime": Target("the ClusterTrainingRuntime that the TrainJob names", _runtimes, _KUBERNETES),
    "volumes": Target("PersistentVolumes of FSx for Lustre", _volumes, _KUBERNETES),
}

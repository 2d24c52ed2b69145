"""Code that no ConfigMap holds: in the project's bucket for as long as its run is there, and fetched by the pods."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pcinfra.aws import Aws, Target
from pcinfra.errors import AccessDenied, Refused, UsageError
from pcinfra.jobs.kubernetes import prepare, sweep
from pcinfra.jobs.kubernetes.api import LiveApi
from pcinfra.jobs.kubernetes.kinds import KINDS
from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher
from pcinfra.jobs.kubernetes.store import PREFIX, S3Store
from pcinfra.jobs.launcher import State
from pcinfra.jobs.load import Job as Loaded
from pcinfra.jobs.manifest import Manifest, new_run_id
from tests.kube.command import Pcinfra
from tests.kube.server import needed
from tests.kube.test_launcher import config_maps
from tests.unit.jobs.kubernetes.jobs import PLAIN, spec
from tests.unit.jobs.kubernetes.operator import moved, trainjob_pod
from tests.waiting import until

pytestmark = needed

FIELDS = {**PLAIN, "command": ["cat", "src/note"], "code": {}, "kubernetes": {"service_account": "trainer"}}
PATH = KINDS["TrainJob"].path


def archived() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in (("src/note", b"hi\n"), ("src/big", os.urandom(1_200_000))):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class Home:
    """A launcher with a bucket of its own in the local cloud."""

    def __init__(self, api: LiveApi, target: Target) -> None:
        self.api, self.cloud, self.name = api, Aws(target), f"bucket-{uuid4().hex[:12]}"
        self.cloud.call("s3", "CreateBucket", Bucket=self.name)
        self.launcher = KubernetesLauncher(api, S3Store(lambda: self.cloud, lambda: self.name))

    def objects(self) -> list[str]:
        found = self.cloud.pages("s3", "ListObjectsV2", "Contents", Bucket=self.name)
        return [each["Key"].rpartition("/")[2] for each in found]

    def manifest(self, **changes: Any) -> Manifest:
        job = prepare.prepare(
            Loaded(spec(FIELDS, **changes), b"", archived()), "TrainJob", namespace=self.api.namespace
        )
        dialect = self.launcher.reading.schemas.dialect
        assert dialect is not None
        return prepare.render(replace(job, bucket=self.launcher.bucket()), "TrainJob", dialect).manifest(job.run)


@pytest.fixture
def home(api: LiveApi, local_target: Target) -> Home:
    return Home(api, local_target)


def test_large_code_reaches_the_command_and_goes_with_its_run(home: Home, local_target: Target, tmp_path: Path) -> None:
    sent = home.manifest()
    home.launcher.submit(sent)
    assert home.launcher.submit(sent)  # a second time is no second run
    assert home.objects() == [f"{sent.run}.tar.gz"]

    job = home.api.call("GET", PATH(home.api.namespace, sent.run))
    (config,) = config_maps(home.api)
    for folder in ("job", "code"):
        (tmp_path / folder).mkdir()
    for name, text in config["data"].items():
        (tmp_path / "job" / name).write_text(moved(text, tmp_path) if name != "fetch.json" else text)
    command, variables = trainjob_pod(job, 0)
    words = [moved(word, tmp_path) for word in command]
    environment = {**variables, "PATH": os.environ["PATH"], "PCINFRA_WORKDIR": f"{tmp_path}/code",
                   "AWS_ENDPOINT_URL": local_target.endpoint, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
                   "AWS_SECRET_ACCESS_KEY": "k"}  # fmt: skip
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "hi\n"), done.stderr

    new = new_run_id(sent.run[:-17])
    home.launcher.rerun(sent.run, new)
    assert sorted(home.objects()) == sorted([f"{sent.run}.tar.gz", f"{new}.tar.gz"])
    assert home.launcher.cancel(sent.run).state is State.CANCELLED
    assert home.objects() == [f"{new}.tar.gz"]
    _complete(home.api, new)
    later = datetime.now(UTC) + timedelta(days=2)
    litter = sweep.find(home.launcher, timedelta(days=1), later)
    assert [found.run for found, _ in litter.runs] == [new]
    assert sweep.remove(home.launcher, litter) == []
    assert home.objects() == []
    until(lambda: config_maps(home.api) == [])


def _complete(api: LiveApi, run: str) -> None:
    condition = {"type": "Complete", "status": "True", "reason": "AllJobsCompleted", "message": "it ended",
                 "lastTransitionTime": "2026-01-01T00:00:00Z"}  # fmt: skip
    path, kind = f"{PATH(api.namespace, run)}/status", "application/merge-patch+json"
    api.call("PATCH", path, body={"status": {"conditions": [condition]}}, kind=kind)


def test_a_refused_submission_leaves_nothing_in_the_bucket_and_strays_are_swept(home: Home) -> None:
    first = home.manifest()
    home.launcher.submit(first)
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/trainjobs.trainer.kubeflow.org": "1"}}}
    path = f"/api/v1/namespaces/{home.api.namespace}/resourcequotas"
    home.api.call("POST", path, body=quota)
    until(lambda: bool((home.api.call("GET", f"{path}/few").get("status") or {}).get("hard")))
    sent = home.manifest()
    with pytest.raises(AccessDenied, match="exceeded quota"):
        home.launcher.submit(sent)
    with pytest.raises(AccessDenied, match="exceeded quota"):
        home.launcher.rerun(first.run, new_run_id(first.run[:-17]))
    assert home.objects() == [f"{first.run}.tar.gz"]
    assert [each["metadata"]["name"] for each in config_maps(home.api)] == [f"{first.run}-files"]
    home.launcher.cancel(first.run)
    assert home.objects() == []

    bucket = home.launcher.bucket()
    assert bucket is not None
    for prefix in (bucket.prefix, f"{PREFIX}another-namespace/"):
        home.cloud.call("s3", "PutObject", Bucket=home.name, Key=f"{prefix}gone.tar.gz", Body=b"x")
    later = datetime.now(UTC) + timedelta(hours=1)
    assert sweep.find(home.launcher, timedelta(0)).code == ()  # it may be of a submission that is under way
    litter = sweep.find(home.launcher, timedelta(0), later)
    assert litter.code == (bucket.address("gone"),)
    sweep.remove(home.launcher, litter)
    assert home.objects() == ["gone.tar.gz"]  # of another namespace


def test_the_command_sends_large_code_to_the_projects_bucket(
    pcinfra: Pcinfra, home: Home, local_target: Target
) -> None:
    (pcinfra.folder / "pcinfra.yaml").write_text(f"project: large\nregion: us-east-1\nbucket: {{name: {home.name}}}\n")
    (pcinfra.folder / "src").mkdir()
    (pcinfra.folder / "src" / "big").write_bytes(os.urandom(1_200_000))
    text = "image: registry.example/train:1\ncommand: [ls]\ncpus: 1\ncode: {source: directory, path: src}\n"
    (pcinfra.folder / "large.yaml").write_text(text)
    key_id, secret = local_target.credentials or ("", "")
    pcinfra.env |= {"AWS_ENDPOINT_URL": local_target.endpoint, "AWS_ACCESS_KEY_ID": key_id,
                    "AWS_SECRET_ACCESS_KEY": secret}  # fmt: skip
    nobody = pcinfra("submit", "large.yaml", "--on", "k8s", status=2)
    assert "kubernetes.service_account: one with s3:GetObject" in nobody.stderr
    role = ("--kubernetes-service-account", "trainer")
    run = pcinfra("submit", "large.yaml", "--on", "k8s", *role).stdout.strip()
    assert home.objects() == [f"{run}.tar.gz"]
    assert "deleted, with its pods and files" in pcinfra("cancel", run, "--on", "k8s").stderr
    assert home.objects() == []


def test_code_elsewhere_is_not_touched_and_what_is_left_is_told(home: Home) -> None:
    assert home.launcher.store is not None
    for address in (f"s3://{home.name}/data/a", f"s3://other/{PREFIX}a", "x"):
        with pytest.raises(Refused, match="where the code of runs lies"):
            home.launcher.store.delete(address)
    sent = home.manifest()
    home.launcher.submit(sent)
    elsewhere = KubernetesLauncher(home.api)  # in a folder without the project
    status = elsewhere.cancel(sent.run)
    assert f"its code is left in s3://{home.name}/{PREFIX}" in status.why
    with pytest.raises(UsageError, match="its bucket is that of a project"):
        elsewhere.submit(sent)
    assert json.loads(sent.files[0].content)["metadata"]["annotations"]["pcinfra.dev/code"].endswith(
        f"{sent.run}.tar.gz"
    )

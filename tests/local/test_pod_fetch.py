"""What job pods run first, run here against the local cloud: code, secrets, and where its role is from."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pcinfra.aws import Aws, Target
from pcinfra.jobs.kubernetes.render import fetch, files
from tests.unit.jobs.kubernetes.operator import moved

REGION = "us-east-1"
SHOW = "import json, os, sys; print(json.dumps([sys.argv[1:], {k: os.environ.get(k) for k in ('TOKEN', 'KEY')}]))"


class Pod:
    """The files of a pod's container, and its variables."""

    def __init__(self, folder: Path, target: Target) -> None:
        self.folder = folder
        self.cloud = Aws(target)
        self.environment = {"PATH": os.environ["PATH"], "AWS_ENDPOINT_URL": target.endpoint, "AWS_REGION": REGION}
        for name in ("job", "code"):
            (folder / name).mkdir()
        for name in (files.START, files.FETCH):
            text = moved((Path(fetch.__file__).parent / name).read_text(), folder)
            (folder / "job" / name).write_text(text)

    def run(self, wanted: dict[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "job" / files.WANTED).write_text(json.dumps(wanted))
        argv = [sys.executable, str(self.folder / "job" / files.FETCH), "sh", str(self.folder / "job" / files.START)]
        return subprocess.run([*argv, *words], env=self.environment, capture_output=True, text=True, check=False)


@pytest.fixture
def pod(tmp_path: Path, local_target: Target) -> Pod:
    return Pod(tmp_path, local_target)


def with_keys(pod: Pod) -> Pod:
    pod.environment |= {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "k"}
    return pod


def archived(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def stored(pod: Pod, archive: bytes) -> dict[str, str]:
    """Put an archive into a bucket of its own, and return what fetch.json says of it."""
    bucket, key = f"bucket-{uuid4().hex[:12]}", "pcinfra/code/uid/train-1.tar.gz"
    pod.cloud.call("s3", "CreateBucket", Bucket=bucket)
    pod.cloud.call("s3", "PutObject", Bucket=bucket, Key=key, Body=archive)
    return {"bucket": bucket, "key": key, "region": REGION, "sha256": hashlib.sha256(archive).hexdigest()}


def secret(variable: str, name: str, key: str = "", service: str = "secretsmanager") -> dict[str, str]:
    return {"variable": variable, "service": service, "region": "", "name": name, "key": key}


def test_code_is_fetched_checked_and_unpacked_before_the_command(pod: Pod) -> None:
    content = os.urandom(3 << 20)
    wanted = {"code": stored(pod, archived("src/big", content))}
    done = with_keys(pod).run(wanted, "sh", "-c", 'echo "$1"', "sh", "a b")
    assert (done.returncode, done.stdout) == (0, "a b\n"), done.stderr
    assert (pod.folder / "code" / "src" / "big").read_bytes() == content
    assert [each.name for each in (pod.folder / "code").iterdir()] == ["src"]
    again = pod.run(wanted, "true")  # a container that is started again
    assert again.returncode == 0, again.stderr


def test_code_that_is_not_what_was_submitted_is_not_run(pod: Pod) -> None:
    code = {**stored(pod, archived("a", b"other")), "sha256": "0" * 64}
    done = with_keys(pod).run({"code": code}, "echo", "ran")
    assert (done.returncode, done.stdout) == (1, "")
    assert "has the digest" in done.stderr
    assert list((pod.folder / "code").iterdir()) == []
    gone = pod.run({"code": {**code, "key": "nowhere"}}, "echo", "ran")
    assert (gone.returncode, "NoSuchKey" in gone.stderr, "Traceback" in gone.stderr) == (1, True, False)


def test_secrets_are_in_the_environment_of_the_command_and_nowhere_else(pod: Pod) -> None:
    name, value = f"hf-{uuid4().hex[:8]}", uuid4().hex
    text = json.dumps({"token": f"{value}$(id)'\"\n"})
    pod.cloud.call("secretsmanager", "CreateSecret", Name=name, SecretString=text)
    pod.cloud.call("ssm", "PutParameter", Name=f"/{name}", Value=f"{value}-ssm", Type="SecureString")
    wanted = {"secrets": [secret("TOKEN", name, "token"), secret("KEY", f"/{name}", service="ssm")]}
    done = with_keys(pod).run(wanted, sys.executable, "-c", SHOW, "x")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["x"], {"TOKEN": f"{value}$(id)'\"", "KEY": f"{value}-ssm"}]
    assert not any(value in each.read_text() for each in pod.folder.rglob("*") if each.is_file())
    wrong = pod.run({"secrets": [secret("TOKEN", name, "other")]}, "echo", "ran")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr == f"pcinfra: the secret TOKEN, from {name}: has no key other\n"
    none = pod.run({"secrets": [secret("TOKEN", "nowhere-at-all")]}, "echo", "ran")
    assert "ResourceNotFoundException" in none.stderr
    assert value not in done.stderr + wrong.stderr + none.stderr


def test_the_role_of_a_service_account_is_taken_by_its_token(pod: Pod) -> None:
    (pod.folder / "token").write_text("web-identity-token\n")
    pod.environment |= {
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/trainer",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(pod.folder / "token"),
    }
    done = pod.run({"code": stored(pod, archived("a", b"1"))}, "true")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def agent() -> Iterator[tuple[str, list[str]]]:
    """The agent of Pod Identity on a node: its address, and the tokens that it was shown."""
    shown: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(str(self.headers.get("Authorization")))
            body = json.dumps({"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "s", "Token": "t"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - a name of http.server
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/credentials", shown
    server.shutdown()
    server.server_close()


def test_the_role_of_a_pod_identity_association_is_asked_of_the_nodes_agent(
    pod: Pod, agent: tuple[str, list[str]]
) -> None:
    address, shown = agent
    (pod.folder / "token").write_text("pod-identity-token")
    pod.environment |= {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": address,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(pod.folder / "token"),
    }
    done = pod.run({"code": stored(pod, archived("a", b"1"))}, "true")
    assert done.returncode == 0, done.stderr
    assert shown == ["pod-identity-token"]


def test_a_pod_that_is_not_told_its_region_takes_the_projects(pod: Pod) -> None:
    name = f"hf-{uuid4().hex[:8]}"
    pod.cloud.call("secretsmanager", "CreateSecret", Name=name, SecretString="v")
    del with_keys(pod).environment["AWS_REGION"]
    assert "the region is not known" in pod.run({"secrets": [secret("TOKEN", name)]}, "true").stderr
    done = pod.run({"secrets": [secret("TOKEN", name)], "region": REGION}, "sh", "-c", 'echo "$TOKEN"')
    assert (done.returncode, done.stdout) == (0, "v\n"), done.stderr


def test_a_pod_without_a_role_says_what_to_write(pod: Pod) -> None:
    done = pod.run({"secrets": [secret("TOKEN", "a")]}, "echo", "ran")
    assert (done.returncode, done.stdout) == (1, "")
    assert "kubernetes.service_account must name a service account" in done.stderr

"""A real API server on loopback: etcd, kube-apiserver and kube-controller-manager that ``make kube`` built."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pcinfra.errors import NotFound, PcinfraError
from pcinfra.jobs.kubernetes.api import LiveApi, with_token
from tests.unit.jobs.kubernetes.crds import FOLDER
from tests.waiting import PATIENCE

BINARIES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pcinfra" / "kube" / "bin"
_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
_USERS = "admintok,admin,1,system:masters\nusertok,alice,2,team-a\n"

needed = pytest.mark.skipif(
    not all((BINARIES / program).exists() for program in _PROGRAMS) or not FOLDER.is_dir(),
    reason=f"needs the API server that `make kube` builds into {BINARIES}, and CRDs in {FOLDER}",
)


@dataclass(frozen=True)
class Server:
    """A running API server: where, and with which certificate."""

    folder: Path
    port: int

    @property
    def host(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        return self.folder / "certs" / "apiserver.crt"

    def api(self, namespace: str = "default", token: str = "admintok") -> LiveApi:
        return with_token(self.host, token, self.authority, namespace)

    def kubeconfig(self, namespace: str, token: str = "admintok") -> Path:
        cluster = {"server": self.host, "certificate-authority": str(self.authority)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        }
        file = self.folder / f"kubeconfig-{namespace}-{token}"
        file.write_text(yaml.safe_dump(content))
        return file


@contextmanager
def running(folder: Path, crds: Sequence[str] = (), *, controllers: bool = True) -> Iterator[Server]:
    """Run a server with its files in ``folder`` and the CRDs of these files, until the block ends.

    The CRDs come before the controllers: the garbage collector looks for new kinds every 30 seconds only.
    """
    etcd, peer, port = _free(), _free(), _free()
    (folder / "users.csv").write_text(_USERS)
    _key(folder / "account.key")
    programs: list[subprocess.Popen[bytes]] = []

    def start(program: str, *words: str) -> None:
        with (folder / f"{program}.log").open("wb") as log:
            argv = [str(BINARIES / program), *words]
            programs.append(subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder))

    server = Server(folder, port)
    try:
        url = f"http://127.0.0.1:{etcd}"
        start(
            "etcd", "--data-dir", str(folder / "etcd"), "--listen-client-urls", url, "--advertise-client-urls", url,
            "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls",
            f"http://127.0.0.1:{peer}", "--initial-cluster", f"default=http://127.0.0.1:{peer}", "--unsafe-no-fsync",
        )  # fmt: skip
        start(
            "kube-apiserver", "--etcd-servers", url, "--secure-port", str(port), "--bind-address", "127.0.0.1",
            "--cert-dir", str(folder / "certs"), "--token-auth-file", "users.csv", "--authorization-mode", "RBAC",
            "--service-account-key-file", "account.key", "--service-account-signing-key-file", "account.key",
            "--service-account-issuer", "https://localhost", "--service-cluster-ip-range", "10.0.0.0/24",
            "--disable-admission-plugins", "ServiceAccount", "--allow-privileged=true",
            "--storage-media-type", "application/json",
        )  # fmt: skip
        _wait(server, programs)
        install(server.api(), *crds)
        if controllers:
            start("kube-controller-manager", "--kubeconfig", str(server.kubeconfig("default")), "--controllers",
                  "garbagecollector,namespace,resourcequota,job", "--leader-elect=false", "--port=0", "--secure-port=0",
                  "--use-service-account-credentials=false")  # fmt: skip
        yield server
    finally:
        for program in reversed(programs):  # nothing of them is kept, and the server takes ten seconds to end by itself
            program.kill()
            program.wait()
        shutil.rmtree(folder / "etcd", ignore_errors=True)


def install(api: LiveApi, *names: str) -> None:
    """Install CRDs by the names of their files, as far as so old a server takes them."""
    for name in names:
        crd = yaml.load((FOLDER / f"{name}.yaml").read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        api.call("POST", path, body=repaired(crd))
        _established(api, f"{path}/{crd['metadata']['name']}")


def repaired(value: Any) -> Any:
    """Return a CRD that 1.20 takes: it refuses ``default: ""`` and keys of maps that are not required."""
    if isinstance(value, list):
        return [repaired(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: repaired(item) for key, item in value.items() if not (key == "default" and item == "")}
    if "x-kubernetes-list-map-keys" in made:
        items = made["items"]
        missing = [
            key
            for key in made["x-kubernetes-list-map-keys"]
            if "default" not in items["properties"][key] and key not in items.get("required", [])
        ]
        if missing:
            items["required"] = [*items.get("required", []), *missing]
    return made


def _established(api: LiveApi, path: str) -> None:
    """Wait until the server serves a resource: its condition comes a moment before its handler."""
    spec = api.call("GET", path)["spec"]
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            api.call("GET", f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}")
        except NotFound:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{path} is not served: {json.dumps(api.call('GET', path).get('status'))}")


def _wait(server: Server, programs: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert all(program.poll() is None for program in programs), (server.folder / "kube-apiserver.log").read_text()
        try:
            if server.authority.exists() and server.api().read("/readyz") == b"ok":
                return
        except PcinfraError:
            pass
        time.sleep(0.2)
    raise AssertionError((server.folder / "kube-apiserver.log").read_text()[-3000:])


def _key(file: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))


def _free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

"""What a tag means, asked of a real registry with TLS and a password, and of one that wants a token."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import shutil
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import pcinfra.jobs.slurm.render as slurm
from tests.local import registry

SCRIPT = Path(slurm.__file__).parent / "scripts" / "digest.sh"
KIND = "application/vnd.docker.distribution.manifest.v2+json"


def digest_of(image: str, home: Path, certificate: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "ENROOT_CONFIG_PATH": str(home),
                   "CURL_CA_BUNDLE": str(certificate)}  # fmt: skip
    command = ["bash", "-uc", f'{SCRIPT.read_text()}\ndigest_of "$1"', "bash", image]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[registry.Registry]:
    if not shutil.which(registry.PROGRAM):
        pytest.skip("there is no docker-registry: apt-get install docker-registry")
    with registry.running(tmp_path_factory.mktemp("registry")) as found:
        yield found


def pushed(real: registry.Registry, repository: str, tag: str) -> str:
    """Push an image without content, and return its digest."""
    secret = base64.b64encode(f"AWS:{registry.PASSWORD}".encode()).decode()
    trust = ssl.create_default_context(cafile=str(real.certificate))

    def ask(method: str, address: str, body: bytes, kind: str = "application/octet-stream") -> str:
        headers = {"Authorization": f"Basic {secret}", "Content-Type": kind}
        url = address if address.startswith("https") else f"https://{real.host}/v2/{repository}/{address}"
        request = urllib.request.Request(url, body, headers, method=method)
        with urllib.request.urlopen(request, context=trust, timeout=60) as answer:
            return str(answer.headers.get("Location", ""))

    config = b'{"architecture": "amd64", "os": "linux"}'
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    place = ask("POST", "blobs/uploads/", b"")
    ask("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", config)
    described = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config), "digest": digest}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": KIND, "config": described, "layers": []}).encode()
    ask("PUT", f"manifests/{tag}", manifest, KIND)
    return hashlib.sha256(manifest).hexdigest()


def test_a_registry_with_a_password_says_what_a_tag_means(real: registry.Registry, tmp_path: Path) -> None:
    """The password is what a command prints, as that of ECR."""
    expected = pushed(real, "team/training", "v1.2")
    line = f"machine 127.0.0.1 login AWS password $(printf %s {registry.PASSWORD})\n"
    (tmp_path / ".credentials").write_text(line)
    done = digest_of(f"{real.host}#team/training:v1.2", tmp_path, real.certificate)
    assert (done.returncode, done.stdout) == (0, f"{expected}\n"), done.stderr
    done = digest_of(f"{real.host}#team/training", tmp_path, real.certificate)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{real.host} says 404 to team/training:latest\n"
    (tmp_path / ".credentials").unlink()
    done = digest_of(f"{real.host}#team/training:v1.2", tmp_path, real.certificate)
    assert (done.returncode, done.stderr) == (1, f"{real.host} says 401 to team/training:v1.2\n")


class Asking(http.server.BaseHTTPRequestHandler):
    """A registry that wants a token, as Docker Hub and nvcr.io do; anybody gets one."""

    def do_HEAD(self) -> None:
        if self.headers["Authorization"] == "Bearer t0.k-en":
            self.send_response(200)
            self.send_header("Docker-Content-Digest", f"sha256:{'ab' * 32}")
        else:
            self.send_response(401)
            scope = f'realm="https://{self.headers["Host"]}/token",service="reg istry",scope="repository:a/b:pull"'
            self.send_header("WWW-Authenticate", f"Bearer {scope}")
        self.end_headers()

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        self.send_response(200 if asked == {"service": ["reg istry"], "scope": ["repository:a/b:pull"]} else 400)
        self.end_headers()
        self.wfile.write(b'{"expires_in": 300, "token": "t0.k-en"}')

    def log_message(self, *_: object) -> None:
        pass


def test_a_registry_that_wants_a_token_gets_one(tmp_path: Path) -> None:
    registry._certificate(tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Asking)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        done = digest_of(f"127.0.0.1:{server.server_port}#a/b:1", tmp_path, tmp_path / "cert.pem")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (done.returncode, done.stdout) == (0, f"{'ab' * 32}\n"), done.stderr


def test_a_registry_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = digest_of("127.0.0.1:1#a/b", tmp_path, tmp_path / "none")
    assert (done.returncode, done.stderr) == (1, "127.0.0.1:1 does not answer\n")

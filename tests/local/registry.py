"""A real registry on loopback: Debian's docker-registry, with TLS and a password, in a folder of its own."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PROGRAM = "docker-registry"
PASSWORD = "123456789012-auth-token"
LOGIN = base64.b64encode(f"AWS:{PASSWORD}".encode())
"""As it stands in a file of logins and in a request."""
"""What the token of the local cloud's ECR holds for the user AWS."""

_HASH = "$2b$05$pcinfrapcinfrapcinfrauZ3sPSrbjnDsLfm1q3FuuKJ4DlL.80vm"
_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/images}}}}
http: {{addr: "127.0.0.1:{port}", tls: {{certificate: {folder}/cert.pem, key: {folder}/key.pem}}}}
auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}
"""
_MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Registry:
    """A registry that runs; ``certificate`` is the file that clients must trust."""

    host: str
    certificate: Path

    def get(self, path: str) -> tuple[bytes, str]:
        """Return the body and the digest at ``/v2/PATH``."""
        secret = LOGIN.decode()
        headers = {"Authorization": f"Basic {secret}", "Accept": _MANIFESTS}
        request = urllib.request.Request(f"https://{self.host}/v2/{path}", headers=headers)
        trust = ssl.create_default_context(cafile=str(self.certificate))
        with urllib.request.urlopen(request, context=trust, timeout=60) as answer:
            return answer.read(), answer.headers.get("Docker-Content-Digest", "")

    def tags(self, repository: str) -> list[str]:
        try:
            return sorted(json.loads(self.get(f"{repository}/tags/list")[0])["tags"])
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return []


@contextmanager
def running(folder: Path) -> Iterator[Registry]:
    """Start a registry that keeps everything in ``folder``; stop it at the end."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    _certificate(folder)
    (folder / "htpasswd").write_text(f"AWS:{_HASH}\n")
    (folder / "config.yml").write_text(_CONFIG.format(folder=folder, port=port))
    process = subprocess.Popen([PROGRAM, "serve", str(folder / "config.yml")], stderr=subprocess.PIPE, text=True)
    try:
        _wait(process, port)
        yield Registry(f"127.0.0.1:{port}", folder / "cert.pem")
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _wait(process: subprocess.Popen[str], port: int) -> None:
    for _ in range(400):
        assert process.poll() is None, process.communicate()[1]
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the registry does not answer")


def _certificate(folder: Path) -> None:
    """Write a certificate for 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry of a test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )

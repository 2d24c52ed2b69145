"""An EKS cluster without a kubeconfig: its address from EKS, and a token as ``aws eks get-token`` makes it."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from pathlib import Path

from pcinfra.aws import Cloud, Target
from pcinfra.errors import CommandFailed, CredentialsError
from pcinfra.jobs.kubernetes.api import LiveApi, with_token
from pcinfra.shell import Shell


def connect(
    cluster: str, cloud: Cloud, shell: Shell, target: Target, namespace: str = "", folder: Path | None = None
) -> LiveApi:
    """Return the API server of an EKS cluster.

    Args:
        folder: where its certificate is kept; None: that of temporary files.

    Raises:
        NotFound: there is no such cluster.
        CredentialsError: there is no token for it.
    """
    found = cloud.call("eks", "DescribeCluster", name=cluster)["cluster"]
    authority = base64.b64decode(found["certificateAuthority"]["data"])
    return with_token(
        str(found["endpoint"]),
        token(cluster, shell, target),
        _kept(authority, folder or Path(tempfile.gettempdir())),
        namespace,
    )


def token(cluster: str, shell: Shell, target: Target) -> str:
    """Return a bearer token; it is good for a quarter of an hour."""
    import os

    argv = ["aws", "eks", "get-token", "--cluster-name", cluster, "--output", "json"]
    try:
        done = shell.run(argv, env={**os.environ, **target.environment()}, timeout=60).check()
        return str(json.loads(done.stdout)["status"]["token"])
    except (CommandFailed, ValueError, KeyError) as error:
        raise CredentialsError(f"no token: {error}", where=cluster, hint="aws sts get-caller-identity") from error


def _kept(authority: bytes, folder: Path) -> Path:
    """Return a file with the certificate: the TLS library reads it from one."""
    name = f"pcinfra-{os_user()}-{hashlib.sha256(authority).hexdigest()[:16]}.crt"
    file = folder / name
    if not file.exists() or file.read_bytes() != authority:
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as written:
            written.write(authority)
        Path(written.name).replace(file)
    return file


def os_user() -> int:
    import os

    return os.getuid()

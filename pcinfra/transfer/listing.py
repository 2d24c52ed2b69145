"""Looks at a prefix of the bucket."""

from __future__ import annotations

from pcinfra.transfer import bucket
from pcinfra.transfer.filters import Filter
from pcinfra.transfer.http import Http
from pcinfra.transfer.model import Problem, Remote, RemoteFile


def listing(http: Http, prefix: str, wanted: Filter) -> Remote:
    """Return what is below ``prefix`` and ``wanted``. The empty objects that stand for folders are left out.

    Raises:
        CloudError: it cannot be listed.
    """
    files: dict[str, RemoteFile] = {}
    problems: list[Problem] = []
    skew = 0.0
    for page in bucket.pages(http, prefix):
        skew = page.skew
        for key, file in page.files.items():
            name = key[len(prefix) :]
            if not wanted.admits(name):
                continue
            if not name.endswith("/") and name:
                files[name] = file
            elif file.size:
                problems.append(Problem(name, "its key ends in '/', which no file can have"))
    return Remote(files, tuple(problems), skew)

"""The versions of the Trainer by number, as users write them."""

from __future__ import annotations

from pcinfra.errors import UsageError
from pcinfra.jobs.kubernetes.dialect import Dialect

VERSIONS = {"v2.0": Dialect.V2_0, "v2.1": Dialect.V2_1, "v2.2": Dialect.V2_2, "v2.3": Dialect.V2_2}


def dialect(version: str) -> Dialect:
    """Return the dialect of a version like ``v2.1.0``, ``2.1`` or ``v2.1``.

    Raises:
        UsageError: a version that pcinfra does not know.
    """
    short = "v" + ".".join(version.removeprefix("v").split(".")[:2])
    if short not in VERSIONS:
        raise UsageError("is no version of the Trainer that pcinfra knows", where=version, hint=" ".join(VERSIONS))
    return VERSIONS[short]

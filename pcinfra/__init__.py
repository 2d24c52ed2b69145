"""pcinfra: from an empty AWS account to a running multi-node GPU training job, and back to nothing.

From Python as from the command line::

    from pcinfra import JobSpec, submit

    run = submit(JobSpec(command=("python3", "train.py"), nodes=2, launcher="torchrun"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pcinfra.api import submit, submit_all
    from pcinfra.jobs.spec import JobSpec

__all__ = ["JobSpec", "__version__", "submit", "submit_all"]
__version__ = "0.1.0"

_HOMES = {"JobSpec": "pcinfra.jobs.spec", "submit": "pcinfra.api", "submit_all": "pcinfra.api"}


def __getattr__(name: str) -> Any:
    """Import what is heavy when it is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

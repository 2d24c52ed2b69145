"""The two doors through which anything is changed, handed to every operation of a Plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pcinfra.aws import Cloud, Target
    from pcinfra.shell import Shell


@dataclass(frozen=True)
class Doors:
    """The context of an Executor: the account, the programs of this machine, and how those reach the account."""

    cloud: Cloud
    shell: Shell
    target: Target

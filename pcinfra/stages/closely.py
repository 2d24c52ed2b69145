"""What only ``pcinfra status`` looks at: changes made by hand that neither CloudFormation nor `up` would notice.

`up` does not ask for it, to stay within few calls; the detail of the row says how to mend what is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pcinfra.errors import CloudError, NotFound

if TYPE_CHECKING:
    from pcinfra.doors import Doors


@dataclass(frozen=True, slots=True)
class RepositoryPolicyFacts:
    """The policies of the images' repositories by name, as text; pcinfra sets none."""

    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadRepositoryPolicy:
    """Read the policies of some repositories. The result is :class:`RepositoryPolicyFacts`."""

    repositories: tuple[str, ...]

    def start(self, doors: Doors, results: Mapping[str, Any]) -> RepositoryPolicyFacts:
        return RepositoryPolicyFacts({name: _policy_of(doors, name) for name in self.repositories})


def _policy_of(doors: Doors, repository: str) -> str:
    try:
        return str(doors.cloud.call("ecr", "GetRepositoryPolicy", repositoryName=repository)["policyText"])
    except NotFound:
        return ""
    except CloudError as error:
        if error.code == "RepositoryPolicyNotFoundException":
            return ""
        raise

"""What must hold in ``nodes`` of ``pcinfra.yaml``. Pure; see :mod:`.rules`."""

from __future__ import annotations

from collections.abc import Iterator

from pcinfra.project import grants
from pcinfra.project.model import Project
from pcinfra.project.positions import Finding
from pcinfra.stacks.settings import NODE_POLICY_ROOM

_ACCOUNT = "0" * 12


def secrets_belong(project: Project) -> Iterator[Finding]:
    """A role reads secrets of its own partition. Source: IAM user guide, "Amazon Resource Names (ARNs)"."""
    for index, name in enumerate(project.nodes.secrets):
        if name.startswith("arn:") and name.split(":")[1] != project.partition:
            why = f"is of the partition {name.split(':')[1]}, not of {project.partition}"
            hint = f"an ARN that begins with arn:{project.partition}:"
            yield Finding(("nodes", "secrets", index), why, hint, (("region",),))


def policy_fits(project: Project) -> Iterator[Finding]:
    """All of it is one policy, because ParallelCluster attaches few. Source: IAM user guide, IAM and STS quotas."""
    families = (grants.repository_arns, grants.secret_arns, grants.parameter_arns)
    arns = [arn for family in families for arn in family(project, _ACCOUNT)]
    length = sum(len(arn) + 3 for arn in arns)
    if length > NODE_POLICY_ROOM:
        why = f"and the images' repositories are {len(arns)} ARNs with {length} characters; {NODE_POLICY_ROOM} fit"
        also = (("nodes", "secrets"), ("nodes", "repositories"), ("images",))
        yield Finding(("nodes",), f"{why} into a policy", "one name with * at its end for several", also)


RULES = (secrets_belong, policy_fits)

"""What ``nodes`` of the project file grants, as ARNs of IAM, and whether it grants what a job asks for. Pure.

Sources: Secrets Manager user guide, "Identity-based policies": a secret's ARN ends with ``-`` and six characters that
nobody chooses, so a name is granted as ``NAME-??????``; Systems Manager user guide, "Restricting access to Parameter
Store parameters"; ECR, Service Authorization Reference, resource type repository.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pcinfra.project.model import Project

ANY_SUFFIX = "-??????"


def repository_arns(project: Project, account: str) -> tuple[str, ...]:
    """Return the ECR repositories that nodes may pull from: those of the project's images, and those it names."""
    own = (image.repository for image in project.images.values())
    start = f"arn:{project.partition}:ecr:{project.region}:{account}:repository/"
    return tuple(dict.fromkeys(start + name for name in (*own, *project.nodes.repositories)))


def secret_arns(project: Project, account: str) -> tuple[str, ...]:
    """Return the secrets of Secrets Manager that nodes may read."""
    return _of("secretsmanager", project, account)


def parameter_arns(project: Project, account: str) -> tuple[str, ...]:
    """Return the parameters of Systems Manager that nodes may read."""
    return _of("ssm", project, account)


def _of(service: str, project: Project, account: str) -> tuple[str, ...]:
    arns = (arn(project, account, grant) for grant in project.nodes.secrets)
    return tuple(dict.fromkeys(each for each in arns if each.split(":")[2] == service))


def arn(project: Project, account: str, name: str) -> str:
    """Return a secret's name in the project file or in a job file, without its key, as a pattern of ARNs."""
    if name.startswith("arn:"):
        return name
    service, _, rest = name.partition(":")
    start = f"arn:{project.partition}:{service}:{project.region}:{account}"
    if service == "ssm":
        return f"{start}:parameter/{rest.lstrip('/')}"
    return f"{start}:secret:{rest}{'' if rest.endswith('*') else ANY_SUFFIX}"


def reads(project: Project, wanted: str) -> bool:
    """Return whether nodes may read a secret that a job names. The account is not known here, and not compared."""
    asked = arn(project, "*", wanted.partition("#")[0])
    some = asked.replace("?", "x")
    names = (some, f"{some}-xxxxxx")  # the end of a secret's ARN may be left out
    granted = [arn(project, "*", grant) for grant in project.nodes.secrets]
    return any(fnmatchcase(grant, asked) or any(fnmatchcase(name, grant) for name in names) for grant in granted)


def pulls(project: Project, account: str, repository: str) -> bool:
    """Return whether nodes may pull from the ECR repository with this ARN; other accounts decide for themselves."""
    return repository.split(":")[4] != account or any(
        fnmatchcase(repository, grant) for grant in repository_arns(project, account)
    )

"""Whether the nodes' role may use what a job names: said before the job waits in a queue only to fail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pcinfra.errors import UsageError
from pcinfra.jobs.secrets import of_aws
from pcinfra.project import grants
from pcinfra.project.positions import Finding, Rule

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.jobs.spec import JobSpec
    from pcinfra.project.model import Project

_IN_ECR = re.compile(r"(?:docker://)?(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?[/#]([^:@]+)")


def secrets(project: Project) -> Rule[JobSpec]:
    """Return the rule that every secret of a job is one of ``nodes.secrets`` in ``project``."""

    def rule(spec: JobSpec) -> Iterator[Finding]:
        for name in of_aws(spec.secrets):
            reference = spec.secrets[name]
            if not grants.reads(project, reference):
                address = reference.partition("#")[0]
                why = "nodes may not read it: nodes.secrets in pcinfra.yaml does not name it"
                hint = f"nodes: {{secrets: [{address}]}} in pcinfra.yaml, then pcinfra up"
                yield Finding(("secrets", name), why, hint)

    return rule


def in_ecr(image: str) -> bool:
    """Return whether ``image`` is an address in ECR, of whichever account."""
    return _IN_ECR.match(image) is not None


def check_image(image: str, project: Project, cloud: Cloud) -> None:
    """Check that nodes may pull ``image``, an address in ECR.

    Raises:
        UsageError: it is in this account, and neither ``images`` nor ``nodes.repositories`` names its repository.
    """
    found = _IN_ECR.match(image)
    if found is None:
        return
    account, region, name = found.groups()
    arn = f"arn:{project.partition}:ecr:{region}:{account}:repository/{name}"
    if not grants.pulls(project, cloud.account, arn):
        elsewhere = f" of {region}: the project is in {project.region}" if region != project.region else ""
        why = f"nodes may not pull from {name}{elsewhere}"
        hint = f"nodes: {{repositories: [{name}]}} in pcinfra.yaml, then pcinfra up"
        raise UsageError(why, where="image", hint="an image of the project's region" if elsewhere else hint)

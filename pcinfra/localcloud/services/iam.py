"""IAM: AWS's managed policies, which pcluster looks up by ARN, without their weight.

moto makes all 1,500 of them, for each partition, at the first call of any service, and they would be most of the
saved state. Here they exist in the partition ``aws`` only, and are saved by name.

A policy has at most 6,144 characters, and one that a role holds cannot be deleted (IAM user guide, IAM and STS quotas;
IAM API reference, DeletePolicy), which moto does not know.

Permissions are not checked: every caller may do everything, and ``iam simulate-*`` is not implemented rather than
always "allowed".
"""

from __future__ import annotations

import copyreg
import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.exceptions import DeleteConflictException, LimitExceededException
from moto.iam.models import AWSManagedPolicy, IAMBackend

from pcinfra.localcloud.services.patching import put


def install() -> None:
    """Change moto's IAM."""
    put(
        IAMBackend,
        _init_aws_policies=_policies,
        create_policy=_fitting(IAMBackend.create_policy, 2),
        create_policy_version=_fitting(IAMBackend.create_policy_version, 1),
        delete_policy=_released(IAMBackend.delete_policy),
    )
    concrete: Any = AWSManagedPolicy
    copyreg.pickle(concrete, _by_name)


MOST_CHARACTERS = 6144


def _fitting(real: Callable[..., Any], place: int) -> Callable[..., Any]:
    """Return ``real``, whose argument number ``place`` is a policy document, for documents that are not too long."""

    def checked(self: Any, *args: Any) -> Any:
        if len(re.sub(r"\s", "", args[place])) > MOST_CHARACTERS:
            raise LimitExceededException(f"Cannot exceed quota for PolicySize: {MOST_CHARACTERS}")
        return real(self, *args)

    return checked


def _released(real: Callable[..., None]) -> Callable[..., None]:
    def checked(self: Any, policy_arn: str) -> None:
        if self.get_policy(policy_arn).attachment_count:
            raise DeleteConflictException("Cannot delete a policy attached to entities.")
        real(self, policy_arn)

    return checked


def _policies(self: Any) -> list[Any]:
    if self.partition != "aws":
        return []
    return [AWSManagedPolicy.from_data(name, self.account_id, self.region_name, data) for name, data in _data().items()]


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(aws_managed_policies_data)
    return data


def _by_name(policy: Any) -> tuple[Any, ...]:
    """What can change of such a policy is the number of its attachments."""
    return _restored, (policy.name, policy.account_id, policy.partition, policy.id, policy.attachment_count)


def _restored(name: str, account: str, region: str, policy_id: str, attachments: int) -> Any:
    policy = AWSManagedPolicy.from_data(name, account, region, _data()[name])
    policy.id, policy.attachment_count = policy_id, attachments
    return policy

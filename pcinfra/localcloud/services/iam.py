"""IAM: AWS's managed policies, which pcluster looks up by ARN, without their weight.

moto makes all 1,500 of them, for each partition, at the first call of any service, and they would be most of the
saved state. Here they exist in the partition ``aws`` only, and are saved by name.

Permissions are not checked: every caller may do everything, and ``iam simulate-*`` is not implemented rather than
always "allowed".
"""

from __future__ import annotations

import copyreg
import json
from functools import lru_cache
from typing import Any

from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, IAMBackend

from pcinfra.localcloud.services.patching import put


def install() -> None:
    """Change moto's IAM."""
    put(IAMBackend, _init_aws_policies=_policies)
    concrete: Any = AWSManagedPolicy
    copyreg.pickle(concrete, _by_name)


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

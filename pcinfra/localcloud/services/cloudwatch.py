"""CloudWatch: composite alarms, which every ParallelCluster stack has one of. They are kept, not evaluated.

Source: CloudWatch API reference, PutCompositeAlarm, DescribeAlarms (AlarmTypes: "if you omit this parameter, only
metric alarms are returned"), DeleteAlarms.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

from pcinfra.localcloud.services.errors import ServiceError
from pcinfra.localcloud.services.patching import put

_NAMES = re.compile(r"\b(?:ALARM|OK|INSUFFICIENT_DATA)\(\s*(?:\"([^\"]+)\"|'([^']+)'|([^)\s]+))\s*\)")
"""An alarm in a rule: by name or by ARN, with or without quotes."""

_KEPT = (
    "AlarmName",
    "AlarmDescription",
    "AlarmRule",
    "ActionsEnabled",
    "OKActions",
    "AlarmActions",
    "InsufficientDataActions",
)


def install() -> None:
    """Add composite alarms to moto's CloudWatch."""
    describe, delete = CloudWatchResponse.describe_alarms, CloudWatchResponse.delete_alarms

    def describe_both(self: Any) -> ActionResult:
        kinds = self._get_param("AlarmTypes", []) or ["MetricAlarm"]
        answer: Any = describe(self).result if "MetricAlarm" in kinds else {"MetricAlarms": []}
        composite = _wanted(self) if "CompositeAlarm" in kinds else []
        return ActionResult({**answer, "CompositeAlarms": composite})

    def delete_both(self: Any) -> ActionResult:
        for name in self._get_param("AlarmNames", []):
            _composites(self).pop(name, None)
        return delete(self)

    put(CloudWatchResponse, put_composite_alarm=_put, describe_alarms=describe_both, delete_alarms=delete_both)


def _put(self: Any) -> ActionResult:
    name, rule = self._get_param("AlarmName"), self._get_param("AlarmRule")
    known = {alarm.name for alarm in self.cloudwatch_backend.describe_alarms()} | set(_composites(self))
    named = {"".join(match).rpartition(":alarm:")[2] for match in _NAMES.findall(rule)}
    missing = sorted(named - known)
    if missing:
        names = ", ".join(missing)
        raise ServiceError("ValidationError", f"Could not save the composite alarm as alarms [{names}] do not exist")
    given = {key: self._get_param(key) for key in _KEPT}
    _composites(self)[name] = {
        "ActionsEnabled": True,
        **{key: value for key, value in given.items() if value is not None},
        "AlarmArn": f"arn:aws:cloudwatch:{self.region}:{self.current_account}:alarm:{name}",
        "AlarmConfigurationUpdatedTimestamp": datetime.now(UTC),
        "StateValue": "INSUFFICIENT_DATA",
        "StateReason": "the local cloud evaluates no composite alarm",
        "StateUpdatedTimestamp": datetime.now(UTC),
    }
    return ActionResult({})


def _wanted(self: Any) -> list[dict[str, Any]]:
    names, prefix = self._get_param("AlarmNames", []), self._get_param("AlarmNamePrefix") or ""
    held = [alarm for name, alarm in _composites(self).items() if name.startswith(prefix)]
    return [alarm for alarm in held if not names or alarm["AlarmName"] in names]


def _composites(self: Any) -> dict[str, dict[str, Any]]:
    return self.cloudwatch_backend.__dict__.setdefault("pcinfra_composite_alarms", {})  # type: ignore[no-any-return]

"""How long files wait to be exported, in CloudWatch.

Source: FSx for Lustre user guide, "Amazon FSx for Lustre metrics and dimensions" (S3 repository metrics): namespace
AWS/FSx, metric AgeOfOldestQueuedMessage in seconds, dimensions FileSystemId and Publisher; one data point a minute.
"""

from __future__ import annotations

import time

from pcinfra.localcloud.cfn.clients import clients

PERIOD = 60.0
"""Seconds between two data points; a queue that fills or empties is told at once."""


class Ages:
    """What has been published last, by file system."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, bool]] = {}

    def publish(self, account: str, region: str, file_system: str, age: float) -> bool:
        """Put a data point if it is time for one; return whether it was."""
        at, waiting = self._last.get(file_system, (0.0, False))
        if waiting == bool(age) and time.monotonic() - at < PERIOD and at:
            return False
        self._last[file_system] = (time.monotonic(), bool(age))
        dimensions = {"FileSystemId": file_system, "Publisher": "AutoExport"}
        datum = {
            "MetricName": "AgeOfOldestQueuedMessage",
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            "Value": age,
            "Unit": "Seconds",
        }
        clients(account, region)("cloudwatch").put_metric_data(Namespace="AWS/FSx", MetricData=[datum])
        return True

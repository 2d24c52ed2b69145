"""Files between a directory and a prefix of S3: listed, compared, planned as data, then moved.

What is equal on both sides is not moved, so a transfer that was killed is continued by running it again.
"""

from pcinfra.transfer.compare import settle
from pcinfra.transfer.filters import Filter
from pcinfra.transfer.model import Local, Meter, Outcome, Problem, Remote, Step, StepKind, TransferPlan
from pcinfra.transfer.plan import plan_pull, plan_push
from pcinfra.transfer.run import Summary, run

__all__ = [
    "Filter",
    "Local",
    "Meter",
    "Outcome",
    "Problem",
    "Remote",
    "Step",
    "StepKind",
    "Summary",
    "TransferPlan",
    "plan_pull",
    "plan_push",
    "run",
    "settle",
]

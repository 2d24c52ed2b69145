"""Plans as data, and their execution. Knows nothing of AWS."""

from pcinfra.engine.execute import Event, Executor, Observer, Step
from pcinfra.engine.model import Action, Change, Kind, Operation, Pending, Plan, Probe
from pcinfra.engine.workers import Threads, VirtualTime, Workers

__all__ = [
    "Action",
    "Change",
    "Event",
    "Executor",
    "Kind",
    "Observer",
    "Operation",
    "Pending",
    "Plan",
    "Probe",
    "Step",
    "Threads",
    "VirtualTime",
    "Workers",
]

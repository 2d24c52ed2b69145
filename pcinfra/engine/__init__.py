"""Plans as data, and their execution. Knows nothing of AWS."""

from pcinfra.engine.model import Action, Change, Kind, Operation, Pending, Plan, Probe

__all__ = ["Action", "Change", "Kind", "Operation", "Pending", "Plan", "Probe"]

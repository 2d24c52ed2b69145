"""What AWS, ParallelCluster and Slurm ask of a configuration beyond its schema: one small rule each, with its source.

A new rule is a function in one of these modules and a name in its ``RULES``.
"""

from pcinfra.clusters.rules import account, cluster, queues, storage
from pcinfra.clusters.rules.model import AccountRule, Config, Remark, Rule

OFFLINE: tuple[Rule, ...] = (*queues.RULES, *storage.RULES, *cluster.RULES)
"""Rules that need nothing but the configuration."""

ACCOUNT: tuple[AccountRule, ...] = account.RULES
"""Rules that look at the account. They only read."""

__all__ = ["ACCOUNT", "OFFLINE", "AccountRule", "Config", "Remark", "Rule"]

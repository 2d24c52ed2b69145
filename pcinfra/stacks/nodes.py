"""What the nodes of every cluster may do: one IAM policy of the project's own, beside what ParallelCluster gives them.

It has no name of its own, so that CAPABILITY_IAM is enough and the same stack can be made twice; its path and its
description never change, because changing one would make another policy while roles hold on to this one. The path
begins with /parallelcluster/, which the policies that ParallelCluster publishes for its users let them attach.
"""

from __future__ import annotations

from typing import Any

from troposphere import Condition, Equals, If, Not, NoValue, Or, Ref, Split, Sub, Template, iam

from pcinfra.stacks.grants import CONDITIONS, EITHER, statements
from pcinfra.stacks.settings import NODE_POLICY, NODE_POLICY_PATH


def add_node_policy(template: Template) -> None:
    """Add the policy, made where ``NodeRepositoryArns`` names repositories."""
    for name, parameter in CONDITIONS.items():
        template.add_condition(name, Not(Equals(Ref(parameter), "")))
    for name, others in EITHER.items():
        template.add_condition(name, Or(*map(Condition, others)))
    template.add_resource(
        iam.ManagedPolicy(
            NODE_POLICY,
            Condition="WithNodePolicy",
            Description="What the nodes of the project's clusters may do",
            Path=Sub(NODE_POLICY_PATH.format(region="${AWS::Region}", stack="${AWS::StackName}")),
            PolicyDocument={"Version": "2012-10-17", "Statement": statements(_Functions())},
        )
    )


class _Functions:
    """CloudFormation's functions in place of values."""

    def ref(self, parameter: str) -> Ref:
        return Ref(parameter)

    def sub(self, text: str) -> Sub:
        return Sub(text)

    def split(self, parameter: str) -> Split:
        return Split(",", Ref(parameter))

    def when(self, condition: str, statement: dict[str, Any]) -> If:
        return If(condition, statement, NoValue)

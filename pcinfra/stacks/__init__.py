"""CloudFormation templates as code: settings in, template out, nothing else touched.

Importing this package is cheap. Only :mod:`pcinfra.stacks.prerequisites` imports troposphere; what runs a stack
sends the committed rendering in ``cfn/`` and ``StackSettings.parameters()``.
"""

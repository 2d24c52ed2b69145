"""Sessions of AWS Systems Manager: a shell, ports and ssh on an instance that has no open port.

What is asked for is a :class:`Request`. The Session Manager plug-in of the AWS CLI opens it where both are installed,
and otherwise what is here, which speaks the same protocol and needs neither.
"""

from pcinfra.sessions.request import Request

__all__ = ["Request"]

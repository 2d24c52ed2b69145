"""What can go wrong inside the CloudFormation engine; none of it leaves the local cloud except as an API answer.

::

    Exception
    ├── CfnError         the API answers code, message and HTTP status; nothing has been changed
    ├── ResourceFailure  one resource could not be made, changed or removed: the message becomes its reason
    └── Cancelled        work on a resource was given up because another resource failed
"""

from __future__ import annotations


class CfnError(Exception):
    """An API call is refused.

    Args:
        message: what AWS would say.
        code: the AWS error code; ``ValidationError`` is what CloudFormation uses for nearly everything.
        status: the HTTP status, 4xx unless the local cloud lacks the feature.
    """

    def __init__(self, message: str, code: str = "ValidationError", status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


class ResourceFailure(Exception):
    """A resource failed; ``str(error)`` is its ResourceStatusReason."""


class Cancelled(Exception):
    """Raised inside a handler that waits when the operation around it has been given up."""


def not_implemented(what: str) -> CfnError:
    """Answer for what AWS has and the local cloud has not: HTTP 501, which botocore does not retry."""
    return CfnError(f"not implemented by the local cloud: {what}", code="NotImplemented", status=501)


def invalid(member: str, value: object, must: str) -> CfnError:
    """Answer for a request member that breaks the API's own model, worded as AWS's front end does."""
    shown = "null" if value is None else f"'{value}'"
    return CfnError(
        f"1 validation error detected: Value {shown} at '{member}' failed to satisfy constraint: Member must {must}"
    )


def format_error(message: str) -> CfnError:
    """The answer CloudFormation gives when the text of a template cannot be a template."""
    return CfnError(f"Template format error: {message}")

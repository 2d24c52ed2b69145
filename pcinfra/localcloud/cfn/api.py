"""The HTTP face of the engine: a moto Response class that hands every action to a function of its own."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from xml.sax.saxutils import escape

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse

from pcinfra.localcloud.cfn.backend import backends
from pcinfra.localcloud.cfn.errors import CfnError, not_implemented
from pcinfra.localcloud.cfn.request import Action, Request

NAMESPACE = "http://cloudformation.amazonaws.com/doc/2010-05-15/"


@lru_cache(maxsize=1)
def actions() -> Mapping[str, Action]:
    """Every implemented API action by its AWS name."""
    from pcinfra.localcloud.cfn import api_changesets, api_queries, api_stacks, api_templates

    return {**api_stacks.ACTIONS, **api_queries.ACTIONS, **api_changesets.ACTIONS, **api_templates.ACTIONS}


class _Refusal(ServiceException):
    """moto looks up the code of a class from outside its own package in the service's model."""


def _error_body(error: CfnError) -> str:
    """The query protocol's error for a code that CloudFormation's model does not have."""
    detail = f"<Type>Sender</Type><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    request = f"<RequestId>{uuid.uuid4()}</RequestId>"
    return f'<ErrorResponse xmlns="{NAMESPACE}"><Error>{detail}</Error>{request}</ErrorResponse>'


class Response(BaseResponse):
    """Dispatches to :func:`actions`; every other action answers 501 NotImplemented."""

    def __init__(self) -> None:
        super().__init__(service_name="cloudformation")
        self.automated_parameter_parsing = True

    def call_action(self) -> Any:
        """Status, headers and body of the answer, as moto's dispatcher wants them."""
        try:
            answer: Any = self._answer()
        except CfnError as error:
            if error.status == 501:
                return error.status, {"Content-Type": "text/xml"}, _error_body(error)
            answer = _Refusal(error.code, error.message)
        status, headers, body = self.serialized(ActionResult(answer))
        headers, body = self._enrich_response(headers, body)
        return status, headers, body

    def _answer(self) -> dict[str, Any]:
        name = self._get_action()
        if name not in actions():
            raise not_implemented(name)
        given = {key: value for key, value in dict(self.params).items() if value is not None}
        return actions()[name](Request(given, backends[self.current_account][self.region]))

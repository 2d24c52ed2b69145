"""The HTTP face of the engine: a moto Response class that hands every action to a function of its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse

from pcinfra.localcloud.cfn.backend import backends
from pcinfra.localcloud.cfn.errors import CfnError, not_implemented
from pcinfra.localcloud.cfn.request import Action, Request


@lru_cache(maxsize=1)
def actions() -> Mapping[str, Action]:
    """Every implemented API action by its AWS name."""
    from pcinfra.localcloud.cfn import api_changesets, api_queries, api_stacks, api_templates

    return {**api_stacks.ACTIONS, **api_queries.ACTIONS, **api_changesets.ACTIONS, **api_templates.ACTIONS}


class Response(BaseResponse):
    """Dispatches to :func:`actions`; every other action answers 501 NotImplemented."""

    def __init__(self) -> None:
        super().__init__(service_name="cloudformation")
        self.automated_parameter_parsing = True

    def call_action(self) -> Any:
        """Status, headers and body of the answer, as moto's dispatcher wants them."""
        try:
            answer, refused = self._answer(), None
        except CfnError as error:
            answer, refused = ServiceException(error.code, error.message), error
        status, headers, body = self.serialized(ActionResult(answer))
        headers, body = self._enrich_response(headers, body)
        return (refused.status if refused is not None else status), headers, body

    def _answer(self) -> dict[str, Any]:
        name = self._get_action()
        if name not in actions():
            raise not_implemented(name)
        given = {key: value for key, value in dict(self.params).items() if value is not None}
        return actions()[name](Request(given, backends[self.current_account][self.region]))

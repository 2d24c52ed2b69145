"""One API call: its parameters, by their AWS names, and the backend it goes to."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pcinfra.localcloud.cfn.backend import Backend
from pcinfra.localcloud.cfn.errors import CfnError, invalid, not_implemented
from pcinfra.localcloud.cfn.model import Definition, StackState
from pcinfra.localcloud.cfn.template import load
from pcinfra.localcloud.cfn.yamlbody import MAX_BODY

Json = dict[str, Any]

NAME_PATTERN = r"[a-zA-Z][-a-zA-Z0-9]*"
PAGE = 100
MAX_TAGS = 50
_NOT_PREVIOUS = (
    "Invalid input for parameter key {}. Cannot specify usePreviousValue as true for a parameter key not in the"
    " previous template"
)
CAPABILITIES = frozenset({"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"})


@dataclass(frozen=True)
class Request:
    """The call; ``given`` holds only parameters that were sent."""

    given: Json
    backend: Backend

    def text(self, name: str) -> str | None:
        value = self.given.get(name)
        return None if value is None else str(value)

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise invalid(name[0].lower() + name[1:], None, "not be null")
        return value

    def flag(self, name: str) -> bool:
        return str(self.given.get(name, False)).lower() == "true"

    def items(self, name: str) -> list[Any]:
        return list(self.given.get(name) or [])

    def refuse(self, *names: str) -> None:
        """Answer "not implemented" for parameters that would change what happens."""
        for name in names:
            if self.given.get(name):
                raise not_implemented(f"the parameter {name}")

    def stack_name(self) -> str:
        """The name of a stack to be made.

        Source: CreateStack, StackName: a letter, then letters, digits and hyphens, at most 128 characters.
        """
        name = self.required("StackName")
        if len(name) > 128:
            raise invalid("stackName", name, "have length less than or equal to 128")
        if not re.fullmatch(NAME_PATTERN, name):
            raise invalid("stackName", name, f"satisfy regular expression pattern: {NAME_PATTERN}")
        return name

    def body(self, previous: str | None = None) -> str:
        """The template text, from the call, from S3, or the one in use.

        Raises:
            CfnError: none or two are given, or it is too large.
        """
        inline, url = self.text("TemplateBody"), self.text("TemplateURL")
        if inline and url:
            raise CfnError("Only one of Template URL or Template Body may be specified.")
        if self.flag("UsePreviousTemplate"):
            if previous is None or inline or url:
                raise CfnError("You cannot specify both usePreviousTemplate and a Template Body or URL.")
            return previous
        if inline:
            if len(inline.encode()) > MAX_BODY:
                raise invalid("templateBody", inline, f"have length less than or equal to {MAX_BODY}")
            return inline
        if url:
            return self.backend.account().template_at(url)
        raise CfnError("Either Template URL or Template Body must be specified.")

    def parameters(self, previous: dict[str, str] | None = None) -> dict[str, str]:
        """Parameter values given; ``UsePreviousValue`` takes the one in use (the default when none was given)."""
        values: dict[str, str] = {}
        for item in self.items("Parameters"):
            key = str(item.get("ParameterKey"))
            if key in values:
                raise CfnError(f"Parameters: [{key}] are duplicated")
            if str(item.get("UsePreviousValue", False)).lower() == "true":
                self._use_previous(values, key, item, previous)
            elif item.get("ParameterValue") is None:
                raise CfnError(
                    f"Invalid input for parameter key {key}. Specify either UsePreviousValue or ParameterValue."
                )
            else:
                values[key] = str(item["ParameterValue"])
        return values

    @staticmethod
    def _use_previous(values: dict[str, str], key: str, item: Json, previous: dict[str, str] | None) -> None:
        if item.get("ParameterValue") is not None or previous is None:
            raise CfnError(_NOT_PREVIOUS.format(key))
        if key in previous:
            values[key] = previous[key]

    def tags(self) -> dict[str, str]:
        """Stack tags.

        Source: Tag, Key: 1-128 characters, not beginning with ``aws:``; at most 50 per stack.
        """
        tags = {str(tag["Key"]): str(tag["Value"]) for tag in self.items("Tags")}
        if len(tags) > MAX_TAGS:
            raise invalid("tags", f"[{len(tags)} tags]", f"have length less than or equal to {MAX_TAGS}")
        for key in tags:
            if key.lower().startswith("aws:") or not 1 <= len(key) <= 128:
                raise CfnError(f"Tag keys must be 1 to 128 characters long and must not begin with aws: ({key})")
        return tags

    def capabilities(self) -> tuple[str, ...]:
        given = tuple(str(item) for item in self.items("Capabilities"))
        unknown = set(given) - CAPABILITIES
        if unknown:
            raise invalid("capabilities", sorted(unknown), f"satisfy enum value set: {sorted(CAPABILITIES)}")
        return given

    def definition(self, state: StackState | None = None) -> Definition:
        """What CreateStack, UpdateStack and CreateChangeSet ask for; ``state`` supplies previous values.

        Source: UpdateStack, Tags: without Tags the stack's tags stay as they are.
        """
        old = state.definition if state is not None else None
        if old is not None and "Parameters" in self.given:
            declared = load(old.body).parameters
            for item in self.items("Parameters"):
                if str(item.get("UsePreviousValue", False)).lower() == "true" and item["ParameterKey"] not in declared:
                    raise CfnError(_NOT_PREVIOUS.format(item["ParameterKey"]))
        return Definition(
            body=self.body(old.body if old else None),
            parameters=self.parameters(old.parameters if old else None),
            tags=self.tags() if "Tags" in self.given or old is None else dict(old.tags),
            capabilities=self.capabilities(),
            role_arn=self.text("RoleARN") or (old.role_arn if old else None),
        )

    def page(self, rows: Sequence[Any], size: int = PAGE) -> tuple[list[Any], str | None]:
        """One page of a listing and the token of the next."""
        token = self.text("NextToken")
        try:
            start = int(base64.b64decode(token, validate=True)) if token else 0
        except ValueError:
            raise CfnError(f"NextToken {token} is not valid") from None
        more = base64.b64encode(str(start + size).encode()).decode() if start + size < len(rows) else None
        return list(rows[start : start + size]), more


Action = Callable[[Request], Json]

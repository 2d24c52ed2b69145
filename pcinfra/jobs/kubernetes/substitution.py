"""``${NAME}`` in a manifest replaced by values that are allowed and set, and nothing else.

``envsubst`` without a list replaces every variable, also those that the pods' own scripts read (``$PET_NNODES``), and
puts nothing in place of one that is not set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pcinfra.errors import UsageError

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def substitute(text: str, allowed: Sequence[str], values: Mapping[str, str]) -> str:
    """Return ``text`` with ``${NAME}`` replaced for each allowed name; every other dollar stays as it is.

    Raises:
        UsageError: an allowed name is not set, is set to more than one line, or does not occur.
    """
    found = set(_REFERENCE.findall(text))
    for name in allowed:
        if name not in found:
            raise UsageError(f"${{{name}}} does not occur in the text", where=name, hint=" ".join(sorted(found)))
        if name not in values:
            raise UsageError("is not set", where=name, hint=f"export {name}=...")
        if "\n" in values[name] or "\0" in values[name]:
            raise UsageError("has more than one line", where=name)
    return _REFERENCE.sub(lambda match: values[match[1]] if match[1] in allowed else match[0], text)

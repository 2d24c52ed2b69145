"""Changed manifests, for comparing our verdict on them with a server's: each from a seed, the same every time."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

# No empty text: a server 1.20 that is built with Go 1.19 takes it for null (go-openapi/validate, type.go).
_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**40, 1.5, 2.0, "a", "A B", "8", "100m", "16 GB", "1Gi", "-1", [], [None],
    ["a"], [1], {}, {"a": "b"}, {"name": "x"}, [{"name": "x"}], [{"name": "x"}, {"name": "x"}], [{}], "2026-01-01",
    "x" * 400, "한글",
]  # fmt: skip
_KEYS = ["name", "value", "unknown", "env", "limits", "claims", "key", "replicas", "metadata"]


def mutated(value: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return ``value`` with one to three changes somewhere in its spec."""
    chance = random.Random(seed)
    made = deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        _change(chance, made)
    return made


def _change(chance: random.Random, value: dict[str, Any]) -> None:
    place: Any = value["spec"]
    for _ in range(chance.randint(0, 12)):
        below = place.values() if isinstance(place, dict) else place
        inner = [each for each in below if isinstance(each, (dict, list))]
        if not inner:
            break
        place = chance.choice(inner)
    kind = chance.random()
    if isinstance(place, dict):
        keys = list(place)
        if kind < 0.25 and keys:
            del place[chance.choice(keys)]
        elif kind < 0.75 and keys:
            place[chance.choice(keys)] = deepcopy(chance.choice(_VALUES))
        else:
            place[chance.choice(_KEYS)] = deepcopy(chance.choice(_VALUES))
    elif kind < 0.3 and place:
        place.append(deepcopy(chance.choice(place)))
    elif kind < 0.5 and place:
        place.pop()
    else:
        place.append(deepcopy(chance.choice(_VALUES)))

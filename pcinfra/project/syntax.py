"""What PyYAML says about a broken file, in plain words."""

from __future__ import annotations

from typing import Final

import yaml
from yaml.reader import ReaderError

from pcinfra.errors import Problem

_QUOTE = 'put the value in quotes: key: "value"'

# part of PyYAML's message -> what it means, and what to do. The first that matches counts.
_MEANINGS: Final = (
    ("'\\t' that cannot start", "a tab stands where only spaces may", "indent with two spaces"),
    ("that cannot start any token", "the value begins with a character that is special in YAML", _QUOTE),
    ("mapping values are not allowed", "a second ': ' in one line, or a line indented too far", _QUOTE),
    ("could not find expected ':'", "a line without 'key: value'", "add the colon and a space after the key"),
    ("expected <block end>", "the indentation fits no line above", "give keys of one level the same indentation"),
    ("expected ',' or ']'", "a list that begins with [ is not closed", "add the missing ]"),
    ("expected ',' or '}'", "a mapping that begins with { is not closed", "add the missing }"),
    ("expected the node content", "a value is missing", _QUOTE),
    ("found undefined alias", "*name without a &name before it", _QUOTE),
    ("found duplicate anchor", "an anchor (&name) is defined twice", "give it another name"),
    ("but found another document", "a second document begins here", "remove the line ---"),
    ("nested too deeply", "values are nested deeper than 64 levels", ""),
    ("too many values", "has more values than a settings file can need", "remove what is not a setting"),
    ("unknown escape character", "an unknown escape after \\ in double quotes", "use single quotes, or \\\\"),
    ("expected escape sequence", "an incomplete escape after \\ in double quotes", "use single quotes, or \\\\"),
    ("found unexpected end of stream", "a quotation mark is not closed", "add the missing quotation mark"),
    ("document separator", "a quotation mark is not closed", "add the missing quotation mark"),
    ("found undefined tag handle", "YAML tags (!name) are not read here", _QUOTE),
    ("expected alphabetic or numeric character", "& or * begins an anchor in YAML", _QUOTE),
)


def syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """Return the one problem of a text that is not YAML. PyYAML stops at the first."""
    if isinstance(error, ReaderError):
        return _unreadable(error, text, file)
    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem(file, 0, 0, "", str(error))
    said = error.problem or error.context or "is not YAML"
    mark = error.problem_mark or error.context_mark
    why, hint = _meaning(said)
    if "not closed" in why and error.context_mark:
        mark = error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return Problem(file, line, column, "", why, hint)


def _meaning(said: str) -> tuple[str, str]:
    for part, why, hint in _MEANINGS:
        if part in said:
            return why, hint
    return f"is not YAML here: {said}", ""


def _unreadable(error: ReaderError, text: str, file: str) -> Problem:
    before = text[: error.position]
    line, column = before.count("\n") + 1, error.position - before.rfind("\n")
    code = error.character if isinstance(error.character, int) else ord(error.character)
    what = "NUL; the file is binary" if code == 0 else f"the control character 0x{code:02x}"
    return Problem(file, line, column, "", f"has {what}", "save it as plain UTF-8 text")

"""Names of files and keys of objects: which of them can be each other's.

Source: S3 user guide, "Naming Amazon S3 objects": a key is at most 1,024 bytes of UTF-8, and ``.`` and ``..`` as
parts of it are trouble for many tools.
"""

from __future__ import annotations

LONGEST_KEY = 1024  # bytes
LONGEST_PART = 255  # bytes of one part of a path: NAME_MAX of Linux
PARTIAL = ".pcinfra-partial-"
"""Begins the name of a file that is being fetched."""


def unfit_for_key(name: str, prefix: str) -> str:
    """Return why the file ``name`` cannot be an object below ``prefix``; empty when it can."""
    try:
        size = len((prefix + name).encode("utf-8"))
    except UnicodeEncodeError:
        return "its name is not UTF-8, and keys of S3 are"
    if size > LONGEST_KEY:
        return f"its key would have {size} bytes; S3 takes {LONGEST_KEY}"
    return ""


def unfit_for_file(name: str) -> str:
    """Return why the object ``name``, without its prefix, cannot be a file below a directory; empty when it can."""
    parts = name.split("/")
    if ".." in parts:
        return "its key has '..' in it and would leave the directory"
    if "" in parts or "." in parts:
        return "its key has an empty part or '.' in it, which no file can have"
    if "\0" in name:
        return "its key has a NUL in it, which no file can have"
    if any(len(part.encode("utf-8", "surrogatepass")) > LONGEST_PART for part in parts):
        return f"a part of its key is longer than {LONGEST_PART} bytes"
    if parts[-1].startswith(PARTIAL):
        return f"its name begins with {PARTIAL}, which marks unfinished files"
    return ""


def shown(name: str) -> str:
    """Return ``name`` on one line and safe for a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in name)

"""How a command in a session's terminal says that it has begun, and how it has ended.

The agent tells no exit status of what runs in a terminal (amazon-ssm-agent, ``agent/session/shell/shell.go``: only of
commands without one). So the command itself writes two marks, which are "application program commands" (ECMA-48, APC):
terminals show nothing of them. A number that nobody can guess is in them, and they are taken out of the output here.
"""

from __future__ import annotations

import re
import secrets

_TYPED = "stty -echo -onlcr -icrnl -isig -ixon 2>/dev/null"
"""What a terminal is not to do to the bytes of a pipe, which it is fed with."""

_QUOTED = re.compile(rb"[\x04\x08\x0f\x11-\x13\x15-\x17\x7f]")
"""Bytes that a terminal takes for editing (termios(3)), unless the one before them says otherwise."""


def typed(data: bytes) -> bytes:
    """Return what must be typed for ``data`` to be read."""
    return _QUOTED.sub(lambda found: b"\x16" + found[0], data)


def end_of_input(last: bytes) -> bytes:
    """Return what must be typed for the end of the input, behind its last byte: at the start of a line, or anywhere."""
    return b"\x04" if last in (b"", b"\n") else b"\x04\x04"


class Marks:
    """The marks of one command."""

    def __init__(self) -> None:
        self._secret = secrets.token_hex(8)
        self._mark = re.compile(rb"\x1b_" + self._secret.encode() + rb" (ready|\d+)\x1b\\")
        start = b"\x1b_" + self._secret.encode() + b" "
        begun = "|".join(re.escape(start[:length].decode()) for length in range(len(start), 0, -1))
        self._begun = re.compile(f"(?:{re.escape(start.decode())}[0-9a-z]{{1,5}}\x1b?|{begun})\\Z".encode())
        """The end of what may go on to be a mark."""
        self._held = b""
        self.ready = False
        self.status: int | None = None

    def around(self, command: str, piped: bool) -> str:
        """Return the command of sh that runs ``command`` and writes the marks.

        Args:
            piped: its input is the bytes that are typed, and no terminal.
        """
        prepare, feed = (f"{_TYPED}; ", "cat | ") if piped else ("", "")
        # What the keyboard interrupts is the command, not this.
        return (
            f"trap : INT QUIT TSTP; {prepare}printf '\\033_{self._secret} ready\\033\\\\'; "
            f"{feed}( {command}\n); printf '\\033_{self._secret} %d\\033\\\\' $?"
        )

    def without(self, output: bytes) -> bytes:
        """Return ``output`` less the marks; the beginning of what may be one is kept until the rest comes."""
        text = self._mark.sub(self._found, self._held + output)
        found = self._begun.search(text)
        end = found.start() if found else len(text)
        self._held = text[end:]
        return text[:end]

    def rest(self) -> bytes:
        """Return what was kept, when nothing comes any more."""
        held, self._held = self._held, b""
        return held

    def _found(self, match: re.Match[bytes]) -> bytes:
        if match[1] == b"ready":
            self.ready = True
        else:
            self.status = int(match[1])
        return b""

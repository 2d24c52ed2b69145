"""A command that takes job files, a flag for each field of one, and a command line behind ``--``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pcinfra.jobs.flags import Flag
    from pcinfra.jobs.load import Said

_WORDS = "pcinfra.words"


class JobCommand(click.Command):
    """The flags are made of the model of job files when they are needed."""

    @cached_property
    def _flags(self) -> list[click.Option]:
        from pcinfra.jobs.flags import flags

        taken = {name for param in self.params for name in (*param.opts, *param.secondary_opts)}
        return [_option(flag, taken) for flag in flags()]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        own = super().get_params(ctx)
        return [*own[:-1], *self._flags, own[-1]]  # the last one is --help

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = None
        if "--" in args:
            place = args.index("--")
            args, words = args[:place], args[place + 1 :]
        ctx.meta[_WORDS] = words
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        made = set(self._flags)
        for title, chosen in (("Options", False), ("What a job file may say, said here", True)):
            params = [
                param
                for param in self.get_params(ctx)
                if (param in made) is chosen and param.param_type_name == "option"
            ]
            rows = [row for param in params if (row := param.get_help_record(ctx))]
            with formatter.section(title):
                formatter.write_dl(rows)


def said(ctx: click.Context, given: dict[str, Any]) -> Said:
    """Return what the command line says of the job's fields; the command line behind ``--`` is of no flag.

    Raises:
        UsageError: a value is not written in its form.
    """
    from pcinfra.jobs.flags import values

    words: Sequence[str] | None = ctx.meta.get(_WORDS)
    said = list(values(given))
    if words:
        key = "args" if any(path == ("script",) for path, *_ in said) else "command"
        said.append(((key,), list(words), "-- COMMAND"))
    return said


def _option(flag: Flag, taken: set[str]) -> click.Option:
    names = [flag.parameter, flag.name, *([flag.short] if flag.short and flag.short not in taken else [])]
    text = flag.help.replace("\n", " ")
    if flag.kind == "switch":
        names[1] = f"{flag.name}/--no-{flag.name.removeprefix('--')}"
        return click.Option(names, default=None, help=text)
    kind: Any = click.Choice(flag.choices) if flag.choices else int if flag.kind == "number" else str
    several = flag.kind in ("values", "lists", "sections")
    return click.Option(names, type=kind, multiple=several, metavar=flag.form or None, help=text)

"""``pcinfra recipe``: jobs that are ready to run."""

from __future__ import annotations

import click

from pcinfra.cli import options
from pcinfra.cli.session import Session


@click.group()
def recipe() -> None:
    """Jobs that are ready to run: list them, show one, run one.

    \b
    pcinfra recipe list
    pcinfra recipe show torchrun-ddp
    pcinfra recipe run torchrun-ddp --follow
    """


@recipe.command("list")
def list_recipes() -> None:
    """List the recipes, and what a cluster must have for each."""
    from pcinfra.recipes import REGISTRY

    width = max(map(len, REGISTRY))
    for name, each in REGISTRY.items():
        needs = f"  [needs {each.needs}]" if each.needs else ""
        click.echo(f"{name:<{width}}  {each.summary}{needs}")


@recipe.command()
@click.argument("name")
def show(name: str) -> None:
    """Print a recipe's job file, and the files that belong to it.

    The job file alone is what `> job.yaml` takes; the rest goes to standard error.
    """
    from pcinfra.recipes import find

    found = find(name)
    click.echo(found.job.read_text(encoding="utf-8"), nl=False)
    for path in found.others:
        click.echo(f"\n# beside it: {path}", err=True)


class _Forwarding(click.Command):
    """Keeps what comes after the recipe's name for `submit`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-"):
            ctx.meta["pcinfra.forwarded"] = args[1:]
            args = args[:1]
        return super().parse_args(ctx, args)


@recipe.command(cls=_Forwarding)
@click.argument("name", metavar="NAME [OPTIONS OF SUBMIT]")
@options.pass_session
@click.pass_context
def run(ctx: click.Context, session: Session, /, name: str) -> None:
    """Submit a recipe. Whatever comes after its name is as for `pcinfra submit`.

    \b
    pcinfra recipe run hello --follow      its log; exits with the job's exit code
    pcinfra recipe run hello --dry-run     what would be run
    pcinfra recipe run hello --help        every option
    """
    from pcinfra.cli.submit import submit
    from pcinfra.recipes import find

    arguments = [str(find(name).job), *ctx.meta.get("pcinfra.forwarded", [])]
    with submit.make_context(f"run {name}", arguments, parent=ctx.parent) as inner:
        submit.invoke(inner)

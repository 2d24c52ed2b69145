"""The commands of ``pcinfra k8s`` that talk to a cluster: setup, can-i, sweep."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import click

from pcinfra.cli import options
from pcinfra.cli.backends import WHERE
from pcinfra.cli.session import Session

F = TypeVar("F", bound=Callable[..., Any])
on_option = click.option("--on", "where", metavar="WHERE", default="k8s", show_default=True, help=f"{WHERE}.")


def subject_options(command: F) -> F:
    """Add who gets rights: ``users``, ``groups`` and ``accounts``."""
    for option in (
        click.option("--service-account", "accounts", metavar="NAME", multiple=True, help="Likewise; it is made, too."),
        click.option("--group", "groups", metavar="NAME", multiple=True, help="Likewise, a group."),
        click.option("--user", "users", metavar="NAME", multiple=True, help="Who gets the rights. May be repeated."),
    ):
        command = option(command)
    return command


@click.command("can-i")
@on_option
@options.pass_session
@click.pass_context
def can_i(ctx: click.Context, session: Session, /, where: str) -> None:
    """Ask the server for every right that pcinfra needs, and exit with 1 when one is missing.

    \b
    pcinfra k8s can-i --on k8s:team-a
    pcinfra k8s can-i --on k8s:team-a@prod           another context of kubeconfig
    """
    from pcinfra import ui
    from pcinfra.cli.backends import home, launcher
    from pcinfra.jobs.kubernetes.installed import may

    api = launcher(session, where).api
    answers = list(may(api))
    rows = [("yes" if ok else "NO", verb, right.full, right.purpose) for right, verb, ok in answers]
    ui.print_table(("MAY", "VERB", "RESOURCE", "WHAT FOR"), rows)
    if not all(ok for _, _, ok in answers):
        click.echo(
            f"  to grant them: pcinfra k8s rbac --on {home(session, where)} --user NAME | kubectl apply -f -", err=True
        )
        ctx.exit(1)


@click.command()
@on_option
@click.option("--operator", type=click.Choice(["trainer", "training-operator"]), help="Install it, by kubectl.")
@subject_options
@options.yes
@options.pass_session
def setup(session: Session, /, where: str, operator: str | None, yes: bool, **given: tuple[str, ...]) -> None:
    """Show what a cluster has for jobs, and install what it lacks, each thing after a yes.

    That is the training runtimes; with --operator, an operator from its project's manifests of a pinned version (the
    Trainer brings JobSet along); with --user, --group or --service-account, the rights that somebody needs to submit
    jobs in the namespace of --on.

    \b
    pcinfra k8s setup --on eks:training
    pcinfra k8s setup --operator trainer      by kubectl, where kubeconfig points
    pcinfra k8s setup --on k8s:team-a --group team-a
    """
    from pcinfra import ui
    from pcinfra.cli.backends import launcher
    from pcinfra.jobs.kubernetes import rbac
    from pcinfra.jobs.kubernetes.installed import grant, missing_runtimes, parts

    if operator:
        _install(session, where, operator, yes)
    api = launcher(session, where).api
    found = parts(api)
    ui.print_table(("PART", "THERE", "ABOUT"), [(p.name, "yes" if p.there else "NO", p.about) for p in found])
    for part in found:
        if not part.there and part.remedy:
            click.echo(f"  {part.name}: {part.remedy}")
    runtimes = missing_runtimes(api)
    if runtimes:
        names = ", ".join(str(each["metadata"]["name"]) for each in runtimes)
        options.confirm(f"Install the runtimes {names}?", yes)
        for each in runtimes:
            api.call("POST", "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes", body=each)
        click.echo(f"installed: {names}")
    rights = rbac.granted(api.namespace, **given)
    if rights:
        named = ", ".join(f"{kind.rstrip('s')} {name}" for kind, names in given.items() for name in names)
        options.confirm(f"Grant {named} the rights to submit jobs in {api.namespace}?", yes)
        grant(api, rights)
        click.echo(f"granted: {named}")


@click.command()
@on_option
@click.option("--older-than", metavar="AGE", default="7d", show_default=True, help="Ended so long ago: 12h, 7d.")
@options.yes
@options.pass_session
def sweep(session: Session, /, where: str, older_than: str, yes: bool) -> None:
    """Remove runs that ended long ago, with their pods and logs, and files that a killed submission left.

    \b
    pcinfra k8s sweep --older-than 1d
    pcinfra k8s sweep --on k8s:team-a --yes
    """
    from pcinfra.cli.backends import launcher
    from pcinfra.jobs.kubernetes import sweep as sweeping

    chosen = launcher(session, where)
    litter = sweeping.find(chosen, _age(older_than))
    if litter.unseen:
        click.echo(f"code in the bucket was not looked for: {litter.unseen}", err=True)
    if not litter:
        click.echo("nothing to remove")
        return
    for found, state in litter.runs:
        tasks = "" if found.tasks is None else f", {found.tasks} tasks"
        click.echo(f"{found.run}  {state}{tasks}")
    for each in litter.files:
        click.echo(f"{each['metadata']['name']}  files without a run")
    for address in litter.code:
        click.echo(f"{address}  code without a run")
    options.confirm("Remove them, with pods and logs?", yes)
    left = sweeping.remove(chosen, litter)
    for why in left:
        click.echo(why, err=True)
    click.echo("removed" if not left else "removed, but for what is said above", err=True)


def _age(text: str) -> timedelta:
    """Return the time that ``12h`` or ``7d`` means.

    Raises:
        UsageError: it means none.
    """
    import re

    from pcinfra.errors import UsageError

    match = re.fullmatch(r"(\d{1,4})([mhd])", text)
    if match is None:
        raise UsageError("is no age", where=f"--older-than {text!r}", hint="--older-than 12h or 7d")
    return timedelta(**{{"m": "minutes", "h": "hours", "d": "days"}[match[2]]: int(match[1])})


def _install(session: Session, where: str, operator: str, yes: bool) -> None:
    """Let kubectl apply an operator's manifests, after a yes."""
    from pcinfra.cli.backends import Place
    from pcinfra.errors import UsageError
    from pcinfra.jobs.kubernetes.installed import SOURCES

    if not where.startswith("k8s"):
        hint = "aws eks update-kubeconfig --name CLUSTER, then --on k8s"
        raise UsageError("kubectl needs a kubeconfig", where=f"--on {where}", hint=hint)
    context = Place.of(where).context
    there = ["--context", context] if context else []
    source = SOURCES["Kubeflow Trainer" if operator == "trainer" else "training operator"]
    options.confirm(f"Apply {source} to {context or 'the current context'} of kubeconfig?", yes)
    session.shell.stream(["kubectl", *there, "apply", "--server-side", "-k", source]).check()

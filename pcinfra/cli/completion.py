"""``pcinfra completion``: shell completion."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash:  eval "$(pcinfra completion bash)"     in ~/.bashrc
    zsh:   eval "$(pcinfra completion zsh)"      in ~/.zshrc
    fish:  pcinfra completion fish > ~/.config/fish/completions/pcinfra.fish
    """
    from click.shell_completion import get_completion_class

    from pcinfra.cli.main import root

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(root, {}, "pcinfra", "_PCINFRA_COMPLETE").source())

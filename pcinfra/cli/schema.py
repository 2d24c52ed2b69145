"""``pcinfra schema``: what editors need to complete and check ``pcinfra.yaml``."""

from __future__ import annotations

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of pcinfra.yaml.

    \b
    pcinfra init keeps a copy in .pcinfra/schema.json. After an update of pcinfra:
      pcinfra schema > .pcinfra/schema.json
    """
    from pcinfra.project.schema import schema_text

    click.echo(schema_text(), nl=False)

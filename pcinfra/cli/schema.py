"""``pcinfra schema``: what editors need to complete and check ``pcinfra.yaml`` and job files."""

from __future__ import annotations

import click


@click.command()
@click.argument("what", type=click.Choice(["project", "job"]), default="project", required=False)
def schema(what: str) -> None:
    """Print the JSON Schema of pcinfra.yaml, or of job files.

    \b
    pcinfra init keeps a copy in .pcinfra/schema.json. After an update of pcinfra:
      pcinfra schema > .pcinfra/schema.json
    For job files:
      pcinfra schema job > .pcinfra/job.schema.json
    and as a job file's first line:
      # yaml-language-server: $schema=.pcinfra/job.schema.json
    """
    from pcinfra.project.schema import schema_text

    if what == "project":
        click.echo(schema_text(), nl=False)
        return
    from pcinfra.jobs.spec import JobSpec

    click.echo(schema_text(JobSpec, "job file of pcinfra"), nl=False)

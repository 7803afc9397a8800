"""``sensverify schema``: what the keys of a result's JSON are, for programs that read it."""

from __future__ import annotations

import json

import click

from sensverify.cli.options import quiet_option


@click.command("schema")
@click.argument("result", required=False)
@quiet_option()
def schema(result: str | None) -> None:
    """Print the JSON Schema of RESULT; without one, the names of all results.

    A result of --json names its schema and version in its first line. The schema describes every
    key, in draft 2020-12, and needs no other file.

    \b
    Examples:
      sensverify schema
      sensverify schema verify > verify.schema.json
    """
    from sensverify.report.schemas import result_schema, schema_names

    if result is not None:
        click.echo(json.dumps(result_schema(result), indent=2, ensure_ascii=False))
        return
    for name in schema_names():
        values = result_schema(name)
        click.echo(f"{name:16} {values['$id']:30} {values['title']}")

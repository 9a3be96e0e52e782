"""`pipeline models`: what is known of the services' models. It needs no job and no key."""

from __future__ import annotations

import click

from pipeline.providers import NAMES


@click.command()
@click.argument("name", required=False)
@click.option("--provider", type=click.Choice(NAMES), help="Only the models of this service.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array of objects instead of lines.")
def models(name: str | None, provider: str | None, as_json: bool) -> None:
    """List the models that are known: tasks, limits, prices, retirement. With NAME, all that is known of one."""
    import datetime

    from pipeline.job.load import user_models
    from pipeline.providers.catalogue import entries, of_name
    from pipeline.report.models import details, table

    own, today = user_models(), datetime.date.today()
    found = list(entries(provider, own)) if name is None else of_name(name, provider, own)
    if as_json:
        import msgspec

        known = [msgspec.to_builtins(entry) for entry in found]
        click.echo(msgspec.json.format(msgspec.json.encode(known), indent=2).decode())
        return
    for line in table(found, today) if name is None else (line for entry in found for line in details(entry, today)):
        click.echo(line)

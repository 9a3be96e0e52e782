"""`pipeline search`: the rows nearest to a text, a picture, a sound or another row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import job_command, open_page, say, say_where
from pipeline.errors import JobError

if TYPE_CHECKING:
    from pipeline.api import Job


@click.command()
@job_command
@click.argument("words", required=False)
@click.option("--text", "texts", multiple=True, help="A text to search for; the same as the argument.")
@click.option("--image", "image", multiple=True, metavar="FILE", help="A picture to search for.")
@click.option("--audio", "audio", multiple=True, metavar="FILE", help="A sound to search for.")
@click.option("--id", "id", multiple=True, help="Rows like this row.")
@click.option("--weight", "weights", multiple=True, metavar="KIND=NUMBER", help="text, image, audio or id; default 1.")
@click.option("-k", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many rows.")
@click.option("--where", help="Only rows of results for which this SQL condition is true.")
@click.option("-o", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with pictures, .html.")
@click.option("--open", "opens", is_flag=True, help="Open the page in the default browser.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def search(job: Job, words: str | None, as_json: bool, file: Path | None, opens: bool, **chosen: Any) -> None:
    """Find the rows whose vectors are nearest to TEXT, a picture, a sound or a row. For jobs with task embed.

    The query is embedded with the job's model, once: its vector is kept in the output, apart from the results. Several
    inputs are added up, each times the --weight of its kind.
    """
    import msgspec

    from pipeline.run.search import lines

    texts = (*(() if words is None else (words,)), *chosen.pop("texts"))
    weights = dict(map(_weight, chosen.pop("weights")))
    say_where(job)
    found = job.search(texts, weights=weights, **chosen)
    if file is not None or opens:
        page = job.search_page(found, file)
        click.echo(f"{page}: {len(found.hits):,} rows", err=True)
        if opens:
            open_page(page.absolute().as_uri())
    shown = [msgspec.json.format(msgspec.json.encode(found, enc_hook=str), indent=2).decode()] if as_json else None
    for line in shown or lines(found):
        say(line)


def _weight(text: str) -> tuple[str, float]:
    kind, _, number = text.partition("=")
    try:
        return kind, float(number)
    except ValueError:
        raise JobError(f"--weight {text}: expected KIND=NUMBER, such as image=0.5") from None

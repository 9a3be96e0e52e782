"""`pipeline search`: the rows nearest to a text, a picture, a sound or another row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.cli.options import job_command, say
from pipeline.errors import JobError

if TYPE_CHECKING:
    from pipeline.api import Job


@click.command()
@job_command
@click.argument("words", required=False)
@click.option("--text", "texts", multiple=True, help="A text to search for; the same as the argument.")
@click.option("--image", "images", multiple=True, metavar="FILE", help="A picture to search for.")
@click.option("--audio", "sounds", multiple=True, metavar="FILE", help="A sound to search for.")
@click.option("--id", "ids", multiple=True, help="Rows like this row.")
@click.option("--weight", "weights", multiple=True, metavar="KIND=NUMBER", help="text, image, audio or id; default 1.")
@click.option("-k", "count", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many rows.")
@click.option("--where", help="Only rows of results for which this SQL condition is true.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def search(
    job: Job, words: str | None, texts: tuple[str, ...], images: tuple[str, ...], sounds: tuple[str, ...],
    ids: tuple[str, ...], weights: tuple[str, ...], count: int, where: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Find the rows whose vectors are nearest to TEXT, a picture, a sound or a row. For jobs with task embed.

    The query is embedded with the job's model, once: its vector is kept in the output, apart from the results. Several
    inputs are added up, each times the --weight of its kind.
    """
    import msgspec

    from pipeline.run.search import lines

    found = job.search(
        text=(*(() if words is None else (words,)), *texts),
        image=images,
        audio=sounds,
        id=ids,
        weights=dict(map(_weight, weights)),
        k=count,
        where=where,
    )
    shown = [msgspec.json.format(msgspec.json.encode(found, enc_hook=str), indent=2).decode()] if as_json else None
    for line in shown or lines(found):
        say(line)


def _weight(text: str) -> tuple[str, float]:
    kind, _, number = text.partition("=")
    try:
        return kind, float(number)
    except ValueError:
        raise JobError(f"--weight {text}: expected KIND=NUMBER, such as image=0.5") from None

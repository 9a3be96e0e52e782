"""`pipeline report`: a job's output as a page for a browser."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import job_command, open_page, say, say_where
from pipeline.errors import JobError

if TYPE_CHECKING:
    from pipeline.api import Job


@click.command()
@job_command
@click.option("-o", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the page to this file, .html.")
@click.option("--rows", type=click.IntRange(min=0), help="Rows in the page, at most; sampled evenly. Default: 2,000.")
@click.option("--serve", is_flag=True, help="Serve the page live on 127.0.0.1, over all rows, until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port for --serve. Default: any free port.")
@click.option("--open", "opens", is_flag=True, help="Open the page in the default browser.")
def report(job: Job, file: Path | None, rows: int | None, serve: bool, port: int, opens: bool) -> None:
    """Write JOB's output as one HTML page: the runs in numbers and charts, failures by reason, a gallery of rows.

    The page has everything inside and requests nothing. It is at most 20 MB; of a larger output it shows a sample.
    """
    if (file is None) == (not serve):
        raise JobError("report needs -o FILE, or --serve")
    say_where(job)
    if serve:
        _serve(job, port, opens)
    elif file is not None:
        done = job.report(file, rows=rows, progress=_progress if sys.stderr.isatty() else None)
        shown = f"{done.shown:,} of {done.total:,} rows" if done.shown < done.total else f"{done.total:,} rows"
        say(f"{file}: {shown}, {done.bytes / 1e6:.1f} MB", err=True)
        if opens:
            open_page(file.absolute().as_uri())


def _serve(job: Job, port: int, opens: bool) -> None:
    server = job.report_server(port=port)
    click.echo(f"the report is at {server.url} for this machine alone; stop with Ctrl-C", err=True)
    if opens:
        open_page(server.url)
    with server:
        server.serve_forever()


def _progress(done: int, total: int) -> None:
    if done % 500 == 0 and done < total:
        say(f"{done:,} of {total:,} pictures", err=True)

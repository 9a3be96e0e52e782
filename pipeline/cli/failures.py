"""The commands that handle failures: `pipeline reprocess`, `accept` and `dismiss`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.cli.options import job_command
from pipeline.cli.run import options_of, run_options, say_notes, show

if TYPE_CHECKING:
    from pipeline.api import Job

_WHERE = click.option("--where", metavar="SQL", help="A condition over the view failures, such as \"code = 'X'\".")


@click.command()
@job_command
@_WHERE
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@run_options
def reprocess(job: Job, where: str | None, dry_run: bool, **chosen: object) -> int:
    """Send failed rows again: the throttled, transient and malformed ones, or those that --where picks.

    Settings changed with --set (another model, more tokens) apply to these rows only.
    """
    if not dry_run:
        options = options_of(chosen)
        say_notes(job, chosen)
        return show(job.reprocess(where, options=options), chosen)
    groups = job.reprocess_groups(where)
    for (fault, code), rows in groups.items():
        click.echo(f"  {rows:>6,} × {fault} {code}", err=True)
    click.echo(f"{sum(groups.values()):,} rows would be sent; nothing was", err=True)
    return 0


@click.command()
@job_command
@_WHERE
def accept(job: Job, where: str | None) -> None:
    """Make the answers that a quality check held back the answers of their rows."""
    click.echo(f"{job.accept(where):,} answers accepted", err=True)


@click.command()
@job_command
@click.option("--where", metavar="SQL", required=True, help="A condition over the view failures; to undo, dismissed.")
@click.option("--reason", metavar="TEXT", help="Why; kept with each of them.")
@click.option("--undo", is_flag=True, help="Open dismissed failures again.")
@click.option("--dry-run", is_flag=True, help="Say what would be dismissed, and change nothing.")
def dismiss(job: Job, where: str, reason: str | None, undo: bool, dry_run: bool) -> None:
    """Close failures for good: later runs neither send these rows nor count them, until they ask something else."""
    from pipeline.report.state import count

    if not undo and not (reason or "").strip():
        raise click.UsageError("a dismissal needs --reason TEXT, for whoever looks at it later")
    done, would = ("open again", "would be open again") if undo else ("dismissed", "would be dismissed")
    if not dry_run:
        click.echo(f"{count(job.dismiss(where, reason, undo=undo), 'failure')} {done}", err=True)
        return
    groups = job.dismiss_groups(where, undo=undo)
    for (fault, code), rows in groups.items():
        click.echo(f"  {rows:>6,} × {fault} {code}", err=True)
    click.echo(f"{count(sum(groups.values()), 'failure')} {would}; nothing was", err=True)

"""The command group. The one place where an exception or a signal becomes a message and an exit code."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

import pipeline
from pipeline.cli import failures, local_commands, new, run
from pipeline.errors import EXIT_BUG, EXIT_STOPPED, EXIT_USAGE, JobError, PipelineError
from pipeline.job.file import no_file_name
from pipeline.machine import machine_error_of
from pipeline.report.terminal import hold_any_text, keep_streams, let_go_of_stdout, streams_for_people, use_utf8_names

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """A signal asked this command to end. `code`: the exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Each of ENDING raises Ended in the main thread. One that is ignored (nohup) stays ignored."""
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.default_int_handler if handler is None else handler)


def _end(number: int, _: FrameType | None) -> None:
    raise Ended(number)


def _version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"pipeline, version {pipeline.__version__}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def cli() -> None:
    """Captions, OCR text and embeddings for large folders and tables of pictures, in Parquet for DuckDB.

    Start with: pipeline run jobs/captions.toml --offline
    """


_COMMANDS = (
    new.init,
    run.run,
    local_commands.plan,
    local_commands.status,
    failures.reprocess,
    failures.accept,
    failures.dismiss,
    local_commands.query,
    local_commands.export,
    local_commands.compact,
    local_commands.models,
    local_commands.doctor,
)

for command in (*_COMMANDS, *map(new.command_of, ("caption", "ocr", "embed", "ask")), local_commands.serve):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; exits with the codes of README.md, "Exit codes"."""
    if arguments is None:
        use_utf8_names()
    keep_streams()
    hold_any_text()
    # What a picture library thinks of a broken file is said by the row's failure, not between the lines of progress.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    with ended_by_signals(), streams_for_people():
        code = _written(_run(arguments))
    sys.exit(code)


def _written(code: int) -> int:
    """The exit code, once stdout has taken everything: a reader that went away (`| head`) has what it wants."""
    error = let_go_of_stdout()
    return code if error is None else (code or _cut_off(error))


def _run(arguments: list[str] | None) -> int:
    try:
        _refuse_bytes(sys.argv[1:] if arguments is None else arguments)
        code: Any = cli.main(args=arguments, prog_name="pipeline", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt) as stop:
        return _interrupted(stop)
    except PipelineError as error:
        click.echo(f"pipeline: {error}", err=True)
        return error.exit_code
    except (OSError, SystemExit) as error:  # click makes an exit of a broken pipe
        broken = let_go_of_stdout()
        return _failed(error) if broken is None else _cut_off(broken)
    except Exception as error:
        return _failed(error)


def _interrupted(stop: BaseException) -> int:
    """A signal that comes while rows are sent is the run's own to answer; this one came before, after or elsewhere."""
    ended = stop if isinstance(stop, Ended) else stop.__cause__ or stop.__context__
    code = ended.code if isinstance(ended, Ended) else 130
    click.echo(f"exit {code}: stopped by {signal.Signals(code - 128).name}; the same command begins anew", err=True)
    return code


def _failed(error: BaseException) -> int:
    """The machine's refusal in words, else the traceback of a bug."""
    if isinstance(error, SystemExit):
        raise error
    found = machine_error_of(error)
    if found is not None:
        click.echo(f"pipeline: {found}", err=True)
        return found.exit_code
    traceback.print_exception(error)
    click.echo("pipeline: this is a bug in pipeline, please report the lines above", err=True)
    return EXIT_BUG


def _cut_off(error: OSError) -> int:
    """stdout broke while it was written to."""
    if isinstance(error, BrokenPipeError):
        return 0
    click.echo(f"pipeline: stdout cannot be written: {error.strerror}; not everything was printed", err=True)
    return EXIT_STOPPED


def _refuse_bytes(arguments: list[str]) -> None:
    for argument in arguments:
        reason = None if argument.isascii() else no_file_name(argument)
        if reason is not None:
            raise JobError(f"the argument {argument}: {reason}")

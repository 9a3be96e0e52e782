"""The command group. Only this module turns an exception or a signal into a message and an exit code."""

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
from pipeline.cli import compare, failures, local_commands, new, report, run, search, setting_up
from pipeline.cli.options import say
from pipeline.errors import EXIT_BUG, EXIT_STOPPED, EXIT_USAGE, JobError, PipelineError
from pipeline.job.file import no_file_name
from pipeline.machine import machine_error_of
from pipeline.report.terminal import hold_any_text, keep_streams, let_go_of_stdout, streams_for_people, use_utf8_names

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """Raised when a signal asks this command to end. `code`: the exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Makes each signal of ENDING raise Ended in the main thread. A signal that is ignored (nohup) stays ignored."""
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
    search.search,
    compare.compare,
    local_commands.export,
    report.report,
    local_commands.compact,
    local_commands.models,
    local_commands.doctor,
    setting_up.schedule,
    setting_up.completion,
)
EXAMPLES = {
    "init": "pipeline init photos --task caption",
    "run": "pipeline run jobs/captions.toml --until 06:00",
    "plan": "pipeline plan jobs/captions.toml",
    "status": "pipeline status jobs/captions.toml --watch",
    "reprocess": "pipeline reprocess jobs/captions.toml --where \"code = 'Local.MissingFile'\"",
    "accept": "pipeline accept jobs/captions.toml --where \"code = 'Local.Truncated'\"",
    "dismiss": 'pipeline dismiss jobs/captions.toml --where "fault = \'blocked\'" --reason "not ours to show"',
    "query": 'pipeline query jobs/captions.toml "select id, caption from results" -o captions.csv',
    "search": 'pipeline search jobs/embeddings.toml "a red cup" -k 5',
    "compare": "pipeline compare jobs/captions.toml --set-b provider.model=qwen3-vl-flash --sample 50",
    "export": "pipeline export jobs/captions.toml --sidecar txt",
    "report": "pipeline report jobs/captions.toml -o night.html --open",
    "compact": "pipeline compact jobs/captions.toml --drop-superseded",
    "models": "pipeline models qwen3-vl-plus",
    "doctor": "pipeline doctor jobs/captions.toml",
    "schedule": "pipeline schedule jobs/captions.toml --at 02:00 --until 06:00",
    "completion": "pipeline completion bash",
    "caption": "pipeline caption photos --offline",
    "ocr": "pipeline ocr 'scans/*.png' --model qwen-vl-ocr",
    "embed": "pipeline embed products.csv",
    "ask": 'pipeline ask photos --prompt "Is there a person? Answer yes or no."',
    "serve": 'pipeline serve --rpm 600 --fail "429:5%"',
}
"""One use of each command, shown by its --help."""

for command in (*_COMMANDS, *map(new.command_of, ("caption", "ocr", "embed", "ask")), local_commands.serve):
    command.epilog = f"Example: {EXAMPLES[str(command.name)]}"
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line, then exits with a code of pipeline/run/README.md, "Exit codes"."""
    if arguments is None:
        use_utf8_names()
    keep_streams()
    hold_any_text()
    # The failure of the row reports a broken picture. The picture library must not print between the progress lines.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    with ended_by_signals(), streams_for_people():
        code = _written(_run(arguments))
    sys.exit(code)


def _written(code: int) -> int:
    """Writes the rest of stdout and returns the exit code.

    A reader that closed the pipe (`| head`) is no error: the reader has all the lines it wants.
    """
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
        say(f"pipeline: {error}", err=True)
        return error.exit_code
    except (OSError, SystemExit) as error:  # click turns a broken pipe into an exit
        broken = let_go_of_stdout()
        return _failed(error) if broken is None else _cut_off(broken)
    except Exception as error:
        return _failed(error)


def _interrupted(stop: BaseException) -> int:
    """Prints which signal stopped the command, and returns the exit code.

    The run itself handles signals that come while rows are sent. This function handles all other signals.
    """
    ended = stop if isinstance(stop, Ended) else stop.__cause__ or stop.__context__
    code = ended.code if isinstance(ended, Ended) else 130
    click.echo(f"exit {code}: stopped by {signal.Signals(code - 128).name}; the same command begins anew", err=True)
    return code


def _failed(error: BaseException) -> int:
    """Prints a message if the machine refused (a machine error), else the traceback of a bug; returns the exit code.

    Raises a SystemExit again.
    """
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
    """Returns the exit code after stdout broke during writing. Prints a message unless the reader closed the pipe."""
    if isinstance(error, BrokenPipeError):
        return 0
    click.echo(f"pipeline: stdout cannot be written: {error.strerror}; not everything was printed", err=True)
    return EXIT_STOPPED


def _refuse_bytes(arguments: list[str]) -> None:
    for argument in arguments:
        reason = None if argument.isascii() else no_file_name(argument)
        if reason is not None:
            raise JobError(f"the argument {argument}: {reason}")

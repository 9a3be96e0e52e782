"""The error tree.

    Exception
    ├── PipelineError            a message for a person; `exit_code` is the exit code of the command
    │   ├── JobError             the job file, a setting or an option is wrong                     2
    │   ├── ManifestError        the manifest cannot be read at all, or repeats a given id         2
    │   ├── MissingExtra         an optional dependency is not installed                           2
    │   ├── StoreError           the output folder holds what this version cannot read             2
    │   ├── QueryError           DuckDB refuses SQL, a filter or a view                            2
    │   ├── Locked               another run owns the output                                       5
    │   └── MachineError         disk full, read-only, no permission, folder gone                  4
    └── Fault                    why a call got no answer; a value within a run, never raised out of the run

Any other exception that reaches the command is a bug: exit 70.
"""

from __future__ import annotations

from typing import Any, Literal

FaultKind = Literal["throttled", "transient", "malformed", "rejected", "blocked", "suspect", "account"]
FAULT_KINDS: tuple[FaultKind, ...] = (
    "throttled",
    "transient",
    "malformed",
    "rejected",
    "blocked",
    "suspect",
    "account",
)

EXIT_OK = 0
EXIT_FAILURES = 1
EXIT_USAGE = 2
EXIT_PLANNED_STOP = 3
EXIT_STOPPED = 4
EXIT_LOCKED = 5
EXIT_BUG = 70


class PipelineError(Exception):
    """An error that a person must read and act on. The message says what happened, where, and what to do."""

    exit_code = EXIT_USAGE


class JobError(PipelineError):
    """The job file, a setting or an option is wrong; nothing was sent."""


class ManifestError(PipelineError):
    """The manifest cannot be read at all, or repeats a given id; nothing was sent."""


class MissingExtra(PipelineError):
    """An optional dependency is not installed; the message says which extra to install."""


class StoreError(PipelineError):
    """The output folder holds something that this version cannot read."""


class QueryError(PipelineError):
    """DuckDB refused the SQL; the message is DuckDB's own, with the names of the views where they help."""


class Locked(PipelineError):
    """Another run owns the output folder; the message says which."""

    exit_code = EXIT_LOCKED


class MachineError(PipelineError):
    """The machine refused a write: disk full, read-only, no permission, folder gone. Everything that was written is
    kept."""

    exit_code = EXIT_STOPPED


class Fault(Exception):
    """Why a call got no answer.

    kind: one of `FAULT_KINDS`. code: the service's own code, or `Local.<Name>` for a fault found on this machine.
    message: the service's own words, without keys or picture data.
    retry: `yes`: back off and send again. `once`: one further attempt. `no`: the same request fails again.
    `upload`: the upload has expired: upload the files again, then make one further attempt.
    retry_after: seconds for which the service asked us to wait, or None.
    request_id, http_status: as the service gave them, or None.
    reply: the `pipeline.types.Reply` that came with the fault (a refused text, the usage that is billed), or None.
    """

    def __init__(
        self,
        kind: FaultKind,
        code: str,
        message: str,
        *,
        http_status: int | None = None,
        retry: Literal["yes", "once", "no", "upload"] = "no",
        retry_after: float | None = None,
        request_id: str | None = None,
        reply: Any = None,
    ) -> None:
        super().__init__(f"{kind} {code}: {message}")
        self.kind = kind
        self.code = code
        self.message = message
        self.http_status = http_status
        self.retry = retry
        self.retry_after = retry_after
        self.request_id = request_id
        self.reply = reply

    def without_traceback(self) -> Fault:
        """Returns this fault without its traceback, cause and context. A fault that is kept as a value would otherwise
        tie the request's bytes to the frames that hold the fault, until the cyclic garbage collector runs."""
        self.__traceback__ = self.__cause__ = self.__context__ = None
        return self


def refusal(name: str, message: str) -> Fault:
    """Returns a fault of our own, before anything is sent: `rejected`, code `Local.<name>`."""
    return Fault("rejected", f"Local.{name}", message)

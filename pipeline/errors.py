"""The error tree.

    Exception
    ├── PipelineError            what a person must read; `exit_code` is the command's
    │   ├── JobError             the job file, a setting or an option is wrong                     2
    │   ├── ManifestError        the manifest cannot be read at all, or repeats a given id         2
    │   ├── MissingExtra         an optional dependency is not installed                           2
    │   ├── StoreError           the output folder holds what this version cannot read             2
    │   ├── QueryError           SQL, a filter or a view that DuckDB refuses                       2
    │   ├── Locked               another run owns the output                                       5
    │   └── MachineError         disk full, read-only, no permission, folder gone                  4
    └── Fault                    why a call got no answer; a value of the run, never its end

Anything else that reaches the command is a bug: exit 70.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pipeline.types import Reply

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
    """Something a person must read and act on. The message says what happened, where, and what to do."""

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
    """DuckDB refused the SQL; the message is DuckDB's own, with the views' names where they help."""


class Locked(PipelineError):
    """Another run owns the output folder; the message says which."""

    exit_code = EXIT_LOCKED


class MachineError(PipelineError):
    """The machine refused a write: disk full, read-only, no permission, folder gone. What was written is kept."""

    exit_code = EXIT_STOPPED


class Fault(Exception):
    """Why a call got no answer.

    kind: one of `FAULT_KINDS`. code: the service's own, or `Local.<Name>` for our refusals.
    message: the service's own words, without keys or picture data.
    retry: `yes` back off and send again; `once` one further attempt; `no` the same request fails again;
    `upload` the upload has expired: upload the files again, then one further attempt.
    retry_after: seconds the service asked us to wait, or None.
    request_id, http_status: as the service gave them, or None.
    reply: what came with the fault all the same (a refused text, the usage that is billed), or None.
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
        reply: Reply | None = None,
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
        """Itself, without the traceback and what it followed from: a fault that is kept as a value would tie the
        request's bytes to the frames that hold the fault, until the cyclic collector comes by."""
        self.__traceback__ = self.__cause__ = self.__context__ = None
        return self


def refusal(name: str, message: str) -> Fault:
    """A fault of our own, before anything is sent: `rejected`, code `Local.<name>`."""
    return Fault("rejected", f"Local.{name}", message)

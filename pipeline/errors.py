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

from pipeline.types.replies import FAULT_KINDS, Fault, FaultKind, refusal

__all__ = [
    "EXIT_BUG",
    "EXIT_FAILURES",
    "EXIT_LOCKED",
    "EXIT_OK",
    "EXIT_PLANNED_STOP",
    "EXIT_STOPPED",
    "EXIT_USAGE",
    "FAULT_KINDS",
    "Fault",
    "FaultKind",
    "JobError",
    "Locked",
    "MachineError",
    "ManifestError",
    "MissingExtra",
    "PipelineError",
    "QueryError",
    "StoreError",
    "refusal",
]

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

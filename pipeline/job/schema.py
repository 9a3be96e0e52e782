"""The job file's shape: every key with its type. Reading and checking stand in load.py and check.py."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from pipeline.types import TaskName

Decision = Literal["ask", "keep", "redo"]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the job file; unknown keys are refused."""


class ManifestSection(Section, frozen=True, kw_only=True):
    """`encoding`: of the text, by Python's name; unset = UTF-8, or what a byte order mark says. `format`: whatever the
    name's ending says."""

    path: str
    encoding: str | None = None
    format: str | None = None


class ProviderSection(Section, frozen=True, kw_only=True):
    name: str
    model: str
    protocol: str | None = None
    api_key_env: str | None = None
    api_key_file: str | None = None
    base_url: str | None = None
    workspace: str | None = None
    stream: bool = False
    headers: dict[str, str] = {}
    parameters: dict[str, Any] = {}


class PromptSection(Section, frozen=True, kw_only=True):
    system: str | None = None
    text: str | None = None


class ColumnsSection(Section, frozen=True, kw_only=True):
    """What the manifest calls our fields: `id = "sku"` reads the id from the column `sku`."""

    id: str | None = None
    image: str | None = None
    images: str | None = None
    frames: str | None = None
    fps: str | None = None
    max_frames: str | None = None
    video: str | None = None
    audio: str | None = None
    text: str | None = None
    contents: str | None = None
    prompt: str | None = None
    prompts: str | None = None
    system: str | None = None
    parameters: str | None = None
    messages: str | None = None


class MediaSection(Section, frozen=True, kw_only=True):
    """`frames`: so many frames are taken here from each `video`, by `frames_by`, instead of sending the file.

    `unused`: what becomes of a row without any medium that names one in a column which nothing uses. `root`: the folder
    (relative to the job file; absolute once it is loaded) where relative paths of the manifest begin.
    `truncated`: what becomes of a picture that is cut off at its end. `private`: with fetch = "here", addresses of this
    machine and of its own networks are fetched too. `dpi`: dots per inch at which the pages of a PDF are drawn.
    `max_pages`: a document of more pages is refused.
    """

    resize: Literal["fit", "off"] = "fit"
    fetch: Literal["service", "here"] = "service"
    frames: int | None = None
    frames_by: Literal["time", "scene"] = "time"
    unused: Literal["refuse", "ignore"] = "refuse"
    root: str | None = None
    truncated: Literal["refuse", "send"] = "refuse"
    private: bool = False
    dpi: int | None = None
    max_pages: int = 100


class LimitsSection(Section, frozen=True, kw_only=True):
    """`rpm`, `tpm`: requests and tokens per minute. `account`: a name for the account that several keys share; without
    one each key is taken for an account."""

    rpm: float | None = None
    tpm: float | None = None
    concurrency: int | None = None
    account: str | None = None


class TimeoutsSection(Section, frozen=True, kw_only=True):
    """Seconds. `read` is the longest silence while an answer arrives; `total` bounds one attempt."""

    connect: float = 10.0
    write: float = 60.0
    read: float = 120.0
    total: float = 330.0


class RetrySection(Section, frozen=True, kw_only=True):
    """`deadline` (seconds, or "10m") counts from admission over all attempts and waits of a row."""

    attempts: int = 6
    deadline: float | str = "10m"


class CircuitSection(Section, frozen=True, kw_only=True):
    """The run stops when, of the last `min_calls` calls or more, at least `ratio` failed, when its first `refusals`
    calls (0: never) are all refused alike, and when no attempt reached the service for `silence` seconds (0: never), or
    none that did was ever answered."""

    ratio: float = 0.5
    min_calls: int = 50
    refusals: int = 20
    silence: float = 120.0


class BudgetSection(Section, frozen=True, kw_only=True):
    max_cost: float | None = None


class RunSection(Section, frozen=True, kw_only=True):
    """`accept_failures`: a count, or a share of the rows as "1%". `changed`: what becomes of answered rows when the
    job was edited: `ask` stops the run, `keep` leaves them as they are, `redo` sends them again."""

    accept_failures: int | str = 0
    changed: Decision = "ask"


class DedupeSection(Section, frozen=True, kw_only=True):
    """`equal`: rows that ask the same share one answer. `cache`: a file of answers shared with other jobs, relative to
    the job file."""

    equal: bool = True
    cache: str | None = None


class JobFile(Section, frozen=True, kw_only=True):
    """A whole job file. `models` holds raw tables: pipeline.providers.models reads them over the built-in data."""

    task: TaskName
    manifest: str | ManifestSection
    output: str
    provider: ProviderSection
    prompt: PromptSection = PromptSection()
    columns: ColumnsSection = ColumnsSection()
    media: MediaSection = MediaSection()
    limits: LimitsSection = LimitsSection()
    timeouts: TimeoutsSection = TimeoutsSection()
    retry: RetrySection = RetrySection()
    circuit: CircuitSection = CircuitSection()
    quality: dict[str, Any] = {}
    budget: BudgetSection = BudgetSection()
    run: RunSection = RunSection()
    dedupe: DedupeSection = DedupeSection()
    models: dict[str, dict[str, Any]] = {}

    @property
    def source(self) -> ManifestSection:
        """The manifest as a section."""
        return self.manifest if isinstance(self.manifest, ManifestSection) else ManifestSection(path=self.manifest)

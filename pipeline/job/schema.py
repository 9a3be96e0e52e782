"""The job file's shape: every key with its type, its bounds and its meaning, and the mistakes that lie in them.

`python -m pipeline.run.job_reference` writes the meanings into jobs/README.md and jobs/job.schema.json.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from pipeline.job.shape import means
from pipeline.types import TaskName

MAX_CONCURRENCY = 65_536

Decision = Literal["ask", "keep", "redo"]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the job file; unknown keys are refused. Its docstring is the section's meaning."""


class ManifestSection(Section, frozen=True, kw_only=True):
    """The rows. Instead of the table, `manifest = "photos.jsonl"` gives the path alone."""

    path: Annotated[
        str,
        means(
            "A table, a list, an archive, a folder, a glob, or `sql:` and a query. A path is relative to the "
            "job file; `{name}` is replaced by `--var name=…`."
        ),
    ]
    encoding: Annotated[
        str | None,
        means('Encoding of the text, such as `"gb18030"`. Without it: what a byte order mark says, or UTF-8.'),
    ] = None
    format: Annotated[str | None, means("Table format. Without it: what the ending of the name says.")] = None


class ProviderSection(Section, frozen=True, kw_only=True):
    """The service and the model."""

    name: Annotated[str, means("The service: `dashscope`, `qianfan`, `openai`, or one of another package.")]
    model: Annotated[str, means("The model's name, as the service has it.")]
    protocol: Annotated[
        str | None, means("`native` or `openai`, where a service speaks several. Default: the service's first.")
    ] = None
    api_key_env: Annotated[
        str | None, means("The environment variable that holds the key. Default: the service's usual one.")
    ] = None
    api_key_file: Annotated[str | None, means("A file that holds the key alone.")] = None
    base_url: Annotated[
        str | None,
        means("Another address: a region, a workspace, a server of your own. As the official SDKs take it."),
    ] = None
    workspace: Annotated[str | None, means("The workspace, where the service has workspaces.")] = None
    stream: Annotated[bool, means("Whether answers come in pieces.")] = False
    headers: Annotated[
        dict[str, str], means("Further HTTP headers. A header can neither carry nor replace the key.")
    ] = {}
    parameters: Annotated[
        dict[str, Any],
        means("Parameters of the model under the service's own names, checked where their bounds are known."),
    ] = {}


class PromptSection(Section, frozen=True, kw_only=True):
    """The words of the question. `{name}` is replaced by the row's column, `{{` is a brace. A row's own `prompt` and
    `system` go before these."""

    system: Annotated[str | None, means("The system message.")] = None
    text: Annotated[str | None, means("The prompt. Without it: the task's own.")] = None


Renamed = Annotated[str | None, means("The column that holds this field.")]


class ColumnsSection(Section, frozen=True, kw_only=True):
    """What the manifest calls our fields: `id = "sku"` reads the id from the column `sku`. The fields stand in
    `sample_data/README.md`."""

    id: Renamed = None
    image: Renamed = None
    images: Renamed = None
    frames: Renamed = None
    fps: Renamed = None
    max_frames: Renamed = None
    video: Renamed = None
    audio: Renamed = None
    text: Renamed = None
    contents: Renamed = None
    prompt: Renamed = None
    prompts: Renamed = None
    system: Renamed = None
    parameters: Renamed = None
    messages: Renamed = None


class MediaSection(Section, frozen=True, kw_only=True):
    """How pictures, sounds and videos are found and sent."""

    resize: Annotated[
        Literal["fit", "off"],
        means(
            "`fit`: a picture that the model would refuse or make smaller anyway is made smaller or "
            "written in another format here. `off`: such a picture fails instead."
        ),
    ] = "fit"
    fetch: Annotated[
        Literal["service", "here"],
        means("Who loads http(s) URLs: the service, or this machine, which then treats them as local files."),
    ] = "service"
    frames: Annotated[
        int | None,
        means("So many frames are taken here from each `video`, instead of sending the file.", above=0),
    ] = None
    frames_by: Annotated[Literal["time", "scene"], means("Frames at equal distances, or at the cuts of the video.")] = (
        "time"
    )
    unused: Annotated[
        Literal["refuse", "ignore"],
        means("What becomes of a row without media that names a picture in a column that nothing uses."),
    ] = "refuse"
    root: Annotated[
        str | None,
        means("The folder where relative paths of the manifest begin. The path is relative to the job file."),
    ] = None
    truncated: Annotated[Literal["refuse", "send"], means("What becomes of a picture that is cut off at its end.")] = (
        "refuse"
    )
    private: Annotated[
        bool,
        means('With `fetch = "here"`: whether addresses of this machine and its own networks are fetched too.'),
    ] = False
    dpi: Annotated[int | None, means("Dots per inch of the pages of a PDF that are drawn. Default: 150.", above=0)] = (
        None
    )
    max_pages: Annotated[int, means("A document of more pages fails.", above=0)] = 100
    max_tokens: Annotated[
        int | None,
        means(
            "A picture, frame or page of more tokens, by the model's own rule, is made smaller here. Not for URLs that "
            "the service loads. `pipeline plan JOB --sizes` says what that saves.",
            above=0,
        ),
    ] = None


class LimitsSection(Section, frozen=True, kw_only=True):
    """The quota of the account. What is not given is found while the job runs."""

    rpm: Annotated[float | None, means("Requests a minute.", above=0)] = None
    tpm: Annotated[float | None, means("Tokens a minute.", above=0)] = None
    concurrency: Annotated[int | None, means("The most requests in flight.", above=0, most=MAX_CONCURRENCY)] = None
    account: Annotated[
        str | None,
        means("A name for the account, where several keys share one quota. Without it each key is an account."),
    ] = None


class TimeoutsSection(Section, frozen=True, kw_only=True):
    """Seconds that one attempt may take."""

    connect: Annotated[float, means("Until the connection stands.", above=0)] = 10.0
    write: Annotated[float, means("The longest pause while the request is sent.", above=0)] = 60.0
    read: Annotated[float, means("The longest silence while an answer arrives.", above=0)] = 120.0
    total: Annotated[float, means("The whole attempt.", above=0)] = 330.0


class RetrySection(Section, frozen=True, kw_only=True):
    """How often a row is tried."""

    attempts: Annotated[int, means("Attempts of one row.", above=0)] = 6
    deadline: Annotated[
        float | str,
        means('Seconds, or a duration such as `"10m"`, for all attempts and waits of a row from its admission.'),
    ] = "10m"


class CircuitSection(Section, frozen=True, kw_only=True):
    """When the run stops because the service answers nobody."""

    ratio: Annotated[float, means("The run stops when this share of the last calls failed.", above=0, most=1)] = 0.5
    min_calls: Annotated[int, means("So many last calls `ratio` looks at, at least.", above=0)] = 50
    refusals: Annotated[
        int, means("The run stops when its first so many calls are all refused alike. 0: never.", least=0)
    ] = 20
    silence: Annotated[
        float,
        means("The run stops when no attempt reached the service for so many seconds. 0: never.", least=0),
    ] = 120.0


class AnswerSection(Section, frozen=True, kw_only=True):
    """Typed columns from the reply, for `caption`, `ocr` and `ask`: give `fields` or `schema`. The raw text is kept. A
    reply that does not fit is a `suspect` failure (`Local.Schema`)."""

    fields: Annotated[
        dict[str, Any] | None,
        means(
            "Name → type: `text`, `number`, `whole number`, `yes or no`, `list of …` of these, each with `?` where it "
            'may be absent; a list of texts to choose from; or `{ type = "number?", about = "in euros" }`.'
        ),
    ] = None
    schema: Annotated[
        str | dict[str, Any] | None,
        means("A file with a JSON Schema of an object, relative to the job file; or the schema as a table."),
    ] = None
    form: Annotated[
        Literal["json_schema", "json_object", "prompt"] | None,
        means(
            "How the schema is sent: enforced by the service, as JSON with the schema in the prompt, or in the prompt "
            "alone. Without it: as the service and the model take it."
        ),
    ] = None
    again: Annotated[bool, means("Whether a row whose reply does not fit is asked once more.")] = False

    @property
    def table(self) -> dict[str, Any]:
        """The schema of a section whose schema is a table, as the schema is once a job is loaded."""
        assert isinstance(self.schema, dict)
        return self.schema


class QualitySection(Section, frozen=True, kw_only=True):
    """The checks of an answer. `false` switches a check off. An answer that fails a check is kept as a `suspect`
    failure, and `pipeline accept` makes it the row's answer."""

    dimension: Annotated[bool | int, means("The vector has the model's dimension, or the dimension given here.")] = True
    finite: Annotated[bool, means("A vector has no NaN and no infinity.")] = True
    norm: Annotated[bool, means("A vector is not zero.")] = True
    identical: Annotated[bool | int, means("So many different inputs do not have one and the same vector.")] = 3
    empty: Annotated[
        bool, means("The answer has text. For `ocr`, no text is a right answer about a picture without text.")
    ] = True
    truncated: Annotated[bool, means("The answer was not cut at the bound on its tokens.")] = True
    repeated: Annotated[bool | int, means("The end of the answer is not one piece so many times over.")] = 8
    thinking: Annotated[bool, means("No `<think>` marks are in the answer.")] = True


class BudgetSection(Section, frozen=True, kw_only=True):
    """What a run may cost."""

    max_cost: Annotated[
        float | None,
        means(
            "The most that one run may cost, in the currency of the price. The worst case of each request "
            "is reserved before the request is sent.",
            least=0,
        ),
    ] = None


class RunSection(Section, frozen=True, kw_only=True):
    """What a run does about failures and about a job that was edited."""

    accept_failures: Annotated[
        int | str,
        means('So many failures, or a share of the rows such as `"1%"`, still give exit code 0.'),
    ] = 0
    changed: Annotated[
        Decision,
        means(
            "What becomes of answered rows when the job was edited: `ask` stops the run, `keep` keeps their "
            "answers, `redo` sends them again. `--changed` goes before it."
        ),
    ] = "ask"


class DedupeSection(Section, frozen=True, kw_only=True):
    """Whether equal questions are bought once."""

    equal: Annotated[bool, means("Rows that ask the same share one answer.")] = True
    cache: Annotated[
        str | None,
        means("A file of answers that several jobs share. The path is relative to the job file."),
    ] = None


class JobFile(Section, frozen=True, kw_only=True):
    """A whole job file. `models` holds raw tables: pipeline.providers.models reads them over the built-in data."""

    task: Annotated[TaskName, means("`caption`, `ocr`, `embed`, `ask`, or the task of another package.")]
    manifest: Annotated[str | ManifestSection, means("The rows: a path, or the table `[manifest]` below.")]
    output: Annotated[
        str, means("The folder of the results, relative to the job file. The folder belongs to this job alone.")
    ]
    provider: ProviderSection
    prompt: PromptSection = PromptSection()
    columns: ColumnsSection = ColumnsSection()
    media: MediaSection = MediaSection()
    limits: LimitsSection = LimitsSection()
    timeouts: TimeoutsSection = TimeoutsSection()
    retry: RetrySection = RetrySection()
    circuit: CircuitSection = CircuitSection()
    answer: AnswerSection | None = None
    quality: QualitySection = QualitySection()
    budget: BudgetSection = BudgetSection()
    run: RunSection = RunSection()
    dedupe: DedupeSection = DedupeSection()
    models: Annotated[
        dict[str, dict[str, Any]],
        means(
            "What is known of a model, over the built-in data. The same tables may stand in the user-wide "
            "file `~/.config/multimodal-batch/models.toml`."
        ),
    ] = {}

    @property
    def source(self) -> ManifestSection:
        """The manifest as a section."""
        return self.manifest if isinstance(self.manifest, ManifestSection) else ManifestSection(path=self.manifest)

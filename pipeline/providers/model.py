"""The facts of one model, in the shapes of the tables of models.toml. A fact that is not known is None."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from pipeline.job.shape import means
from pipeline.providers.prices import Price
from pipeline.types import Capability, MediaLimits


class _Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of models.toml; unknown keys are refused."""


class FrameLimits(_Data, frozen=True):
    """How many pictures a frame list may have, both ends included."""

    min: int | None = None
    max: int | None = None


class VideoLimits(_Data, frozen=True):
    """What a video that is sent whole may be. None means not known.

    formats: container names ("MP4", "MOV", …). Bytes of the file by the way it is sent: `max_url_bytes` behind an
    http(s) URL, `max_upload_bytes` through an upload; `max_encoded_bytes` is of its base64 form. `min_fps`, `max_fps`
    bound how densely the service may be asked to sample, `default_fps` holds when nothing is asked. `min_frames`,
    `max_frames`: how many frames the service takes out of one video.
    """

    formats: tuple[str, ...] | None = None
    max_url_bytes: int | None = None
    max_upload_bytes: int | None = None
    max_encoded_bytes: int | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    min_fps: float | None = None
    max_fps: float | None = None
    default_fps: float | None = None
    min_frames: int | None = None
    max_frames: int | None = None


class TokenRule(_Data, frozen=True):
    """How a family counts pictures (PROTOCOLS.md §3.8): one token per `patch`×`patch` pixels.

    Areas are in pixels. `max_pixels` is the default cap, `hard_max_pixels` the one with the high-resolution switch.
    `markers` are added once per picture or video; `markers_counted`: the reply's picture tokens include them.
    Frames are counted in groups of `frame_group`; `total_pixels` bounds the areas of all frames of a video.
    """

    patch: int
    min_pixels: int
    max_pixels: int
    hard_max_pixels: int
    markers: int = 2
    markers_counted: bool = False
    frame_group: int = 2
    frame_min_pixels: int | None = None
    frame_max_pixels: int | None = None
    total_pixels: int | None = None


class Bound(_Data, frozen=True):
    """What a parameter may be. `above` and `below` are exclusive. `fixed`: the only value that is taken.

    fields: of a table, what its keys may be; `required` ones must be there. items: what a list may hold. cost: what
    the parameter adds to the bill beyond the tokens of one answer: `none`, `answers` (it asks for several answers, of
    which one is kept: only 1 is taken), or `unknown` (a fee: a budget cannot be kept).
    """

    type: Literal["number", "integer", "boolean", "text", "table", "list", "any"] = "any"
    min: int | float | None = None
    max: int | float | None = None
    above: int | float | None = None
    below: int | float | None = None
    choices: tuple[Any, ...] | None = None
    fixed: Any = None
    refused: bool = False
    fields: Mapping[str, Bound] = {}
    required: tuple[str, ...] = ()
    items: Bound | None = None
    cost: Literal["none", "answers", "unknown"] | None = None


class Retired(_Data, frozen=True):
    """Since when the model is not served. `announced`: a date was published, the switch-off itself was not seen."""

    date: str
    successor: str | None = None
    announced: bool = False


class Model(_Data, frozen=True):
    """One model. `known` is False for names that stand in no table: then almost everything is None."""

    name: str
    provider: str
    known: bool = False
    tasks: Annotated[tuple[Capability, ...] | None, means("The tasks that the model can do.")] = None
    text: Annotated[bool | None, means("Takes text.")] = None
    images: Annotated[bool | None, means("Takes pictures.")] = None
    frames: Annotated[bool | None, means("Takes a list of frames as one video.")] = None
    video: Annotated[bool | None, means("Takes a video as a file or URL.")] = None
    audio: Annotated[bool | None, means("Takes a sound.")] = None
    needs_image: Annotated[bool | None, means("Refuses a conversation without a picture.")] = None
    urls_only: Annotated[bool | None, means("Takes no local file in any form.")] = None
    protocols: Annotated[tuple[str, ...] | None, means("The wire protocols that serve the model.")] = None
    max_images: Annotated[int | None, means("The most pictures in a request.")] = None
    frame_limits: Annotated[FrameLimits, means("The fewest and the most pictures in a list of frames.")] = FrameLimits()
    media: Annotated[MediaLimits, means("What a picture may be.")] = MediaLimits()
    sound: Annotated[MediaLimits, means("What a sound may be.")] = MediaLimits()
    video_limits: Annotated[VideoLimits, means("What a video may be that is sent whole.")] = VideoLimits()
    tokens: Annotated[TokenRule | None, means("How the tokens of a picture are counted.")] = None
    image_tokens: Annotated[
        int | None, means("Tokens of one picture, as seen in samples, where no rule is published. For estimates alone.")
    ] = None
    context_tokens: Annotated[int | None, means("The most tokens of a request and its answer together.")] = None
    max_input_tokens: Annotated[int | None, means("The most tokens of a request.")] = None
    max_output_tokens: Annotated[int | None, means("The most tokens of an answer.")] = None
    max_text_characters: Annotated[int | None, means("The most characters of a text that is embedded.")] = None
    max_text_tokens: Annotated[int | None, means("The most tokens of a text that is embedded.")] = None
    dimensions: Annotated[tuple[int, ...] | None, means("The lengths of its vectors, the usual one first.")] = None
    dimension_name: Annotated[str | None, means("The parameter that chooses the length of a vector.")] = None
    fusion: Annotated[
        Literal["always", "parameter", "never"] | None,
        means("How several inputs become one vector. `parameter`: only with the parameter `enable_fusion`."),
    ] = None
    output_names: Annotated[
        tuple[str, ...] | None,
        means("The parameters that bound the tokens of an answer, the preferred one first."),
    ] = None
    bounds: Annotated[Mapping[str, Bound], means("By parameter: what differs from the service's general bounds.")] = {}
    thinking: Annotated[
        Literal["never", "off", "on", "always"] | None,
        means(
            "Whether the model thinks before it answers; `off` and `on` may be changed by a parameter. What the model "
            "thinks is output, and comes on top of the bound on output tokens."
        ),
    ] = None
    max_thinking_tokens: Annotated[int | None, means("The most tokens that the model thinks.")] = None
    thinking_off: Annotated[Mapping[str, Any] | None, means("The parameters that switch thinking off.")] = None
    incremental: Annotated[
        Literal["default", "optional", "refused"] | None,
        means(
            "How a native stream arrives when nothing is asked. `default`: incremental, and nothing else is possible; "
            "`optional`: cumulative unless asked; `refused`: always cumulative."
        ),
    ] = None
    answer_form: Annotated[
        Literal["json_schema", "json_object", "prompt"] | None,
        means("How a schema for the answer is sent: enforced, as JSON, or in the prompt alone."),
    ] = None
    stream_only: Annotated[bool | None, means("Answers only in pieces (`stream = true`).")] = None
    ocr_options: Annotated[bool | None, means("Takes the options of the OCR models.")] = None
    ignores_history: Annotated[bool | None, means("The system message and earlier turns have no effect.")] = None
    web_search: Annotated[bool | None, means("Can search the web.")] = None
    detail: Annotated[bool | None, means("Takes `detail` on a picture.")] = None
    rpm: Annotated[float | None, means("Requests a minute that the service grants.")] = None
    tpm: Annotated[float | None, means("Tokens a minute that the service grants.")] = None
    price: Annotated[Price | None, means("The price.")] = None
    retired: Annotated[Retired | None, means("Since when the model is not served, and what to use instead.")] = None

    @property
    def input_limit(self) -> int | None:
        """The most input tokens that a request may have, None if not known."""
        return self.max_input_tokens if self.max_input_tokens is not None else self.context_tokens

    def dimension(self, parameters: Mapping[str, Any]) -> int | None:
        """The length of the vectors a request with these parameters gets, None if not known."""
        asked = parameters.get(self.dimension_name or "dimensions")
        if isinstance(asked, int) and not isinstance(asked, bool):
            return asked
        return self.dimensions[0] if self.dimensions else None

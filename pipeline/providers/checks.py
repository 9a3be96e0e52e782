"""Refuses requests that a service is known to refuse, before anything is sent. The codes of these faults: `Local.…`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pipeline.errors import refusal
from pipeline.providers import LocalFiles
from pipeline.providers.body import all_media, parts
from pipeline.providers.faults import model_hint
from pipeline.providers.media_options import check_part, form_of
from pipeline.providers.model import Model
from pipeline.providers.parameters import check_parameters
from pipeline.providers.tokens import fewest
from pipeline.types import Audio, Endpoint, HttpRequest, Image, Loaded, Media, Part, Request, Text, Video, VideoFile

_PATHS = (
    "/chat/completions",
    "/embeddings",
    "/services/aigc/multimodal-generation/generation",
    "/services/embeddings/multimodal-embedding/multimodal-embedding",
)


def endpoint_fits(model: Model, endpoint: Endpoint, endings: Mapping[str, str]) -> None:
    """Raises Fault (`Local.BaseUrl`, `Local.Protocol`) if base URL, protocol and model do not go together.

    The base URL must not belong to another protocol, must not include the path of a request, and the model must be
    served over the protocol. endings: protocol → the ending of the official base URL of that protocol.
    """
    base = endpoint.base_url.rstrip("/")
    for protocol, ending in endings.items():
        if protocol != endpoint.protocol and base.endswith(ending):
            message = f"{ending} is the address of protocol {protocol!r}, the job's is {endpoint.protocol!r}"
            raise refusal("BaseUrl", f'provider.base_url: {message}; set provider.protocol = "{protocol}"')
    for path in _PATHS:
        if base.endswith(path):
            raise refusal("BaseUrl", f"provider.base_url: leave out {path}, it is added to the base URL")
    if model.protocols is not None and endpoint.protocol not in model.protocols:
        where = " and ".join(model.protocols)
        raise refusal("Protocol", f"provider.protocol: {model.name} is served over {where} only")


def no_workspace(endpoint: Endpoint) -> None:
    if endpoint.workspace:
        raise refusal("Workspace", "provider.workspace means nothing to an OpenAI-compatible server; leave it out")


def common(request: Request, model: Model, endpoint: Endpoint, local: LocalFiles) -> None:
    """Checks task, turns or items, and media against the known facts of the model. Raises Fault (`Local.…`)."""
    _task(request, model)
    if request.embeds:
        _items(request, model)
    else:
        _turns(request, model)
    _kinds(parts(request), model)
    for media in all_media(request):
        _reachable(media, model, local)
    input_fits(request, model)
    if model.stream_only and not request.stream and not request.embeds:
        raise refusal("StreamOnly", f"{model.name} answers as a stream only; set provider.stream = true")


def input_fits(request: Request, model: Model) -> None:
    """Raises Fault (`Local.TooLong`) if the request is longer than the model takes.

    The tokens are counted as low as possible, so that no request is refused that the service would take. Pictures
    whose size is not known yet count almost nothing.
    """
    most = model.input_limit
    if most is None or (found := fewest(request, model)) <= most:
        return
    how = "send fewer or smaller pictures or frames, or a shorter text"
    raise refusal("TooLong", f"the request has at least {found:,} input tokens, {model.name} takes {most:,}; {how}")


_last_fitting: tuple[Mapping[str, Any], Model, Endpoint] | None = None
"""The parameters, model and endpoint that fitted last.

Rows without parameters of their own share the parameters of the job, which need no second check.
"""


def parameters_fit(request: Request, model: Model, endpoint: Endpoint) -> None:
    global _last_fitting
    last = _last_fitting
    if last is not None and last[0] is request.parameters and last[1] is model and last[2] is endpoint:
        return
    problems = check_parameters(request.parameters, model, endpoint)
    if problems:
        raise refusal("Parameter", "; ".join(problems))
    _last_fitting = (request.parameters, model, endpoint)


def fps_within(request: Request, low: float, high: float) -> None:
    for part in parts(request):
        if isinstance(part, Video) and part.fps is not None and not low <= part.fps <= high:
            raise refusal("Fps", f"fps {part.fps!r} is outside [{low:g}, {high:g}]")


def no_frames(request: Request, service: str) -> None:
    if any(isinstance(part, Video) for part in parts(request)):
        raise refusal("Frames", f"{service} takes no frame lists; send the frames as images")


def no_factors(request: Request) -> None:
    for item in request.items:
        if item.factor not in (None, 1):
            raise refusal("Factor", "factors work with DashScope's native multimodal embeddings only; leave them out")


def one_text(request: Request, who: str) -> None:
    """Raises Fault (`Local.OneText`) if a request for a vector holds anything but one text.

    `/embeddings` of the hosted services takes texts only. Pictures and fusion belong to DashScope's native protocol.
    """
    if request.embeds and not (len(request.items) == 1 and isinstance(request.items[0].part, Text)):
        how = "pictures, sounds and several items go over DashScope's native protocol"
        raise refusal("OneText", f"{who} one text per row; {how}")


def body_fits(http: HttpRequest, most: int) -> HttpRequest:
    """Returns the request itself. Raises Fault (`Local.BodyTooLarge`) if the body is larger than the gateway takes."""
    if len(http.body) > most:
        raise refusal("BodyTooLarge", f"the request has {len(http.body):,} bytes, the service takes {most:,}")
    return http


def warnings(request: Request, model: Model) -> list[str]:
    """Returns notes, shown before a run, about a request that is sent although it may not do what the person means."""
    found: list[str] = []
    if model.retired is not None:
        found.append(model_hint(model))
    turns = [turn for turn in request.turns if turn.role != "user" or turn is not request.turns[-1]]
    if model.ignores_history and turns:
        found.append(f"{model.name} ignores system messages and earlier turns")
    images = sum(isinstance(part, Image) for turn in request.turns for part in turn.parts)
    if model.needs_image and images > 1:
        found.append(f"whether {model.name} takes several pictures is not published")
    return found


def qianfan_extras(request: Request, model: Model) -> None:
    """Raises Fault (`Local.Parameter`) for `web_search` or `detail` on a model that does not take the parameter.

    Only ERNIE 4.5 takes `web_search` and `detail` (PROTOCOLS.md §4.2, trap 45).
    """
    for name, taken in (("web_search", model.web_search), ("detail", model.detail)):
        if name in request.parameters and taken is False:
            raise refusal(
                "Parameter", f"provider.parameters.{name}: {model.name} does not take it; only ERNIE 4.5 does"
            )


def _task(request: Request, model: Model) -> None:
    if model.tasks is None or request.needs in model.tasks:
        return
    if request.embeds:
        raise refusal("Task", f"{model.name} gives text, not vectors; choose an embedding model for task 'embed'")
    if model.tasks == ("embed",):
        raise refusal("Task", f"{model.name} gives vectors only; choose another model for task {request.task!r}")
    raise refusal("Task", f"{model.name} is not for task {request.task!r}, only for {', '.join(model.tasks)}")


def _turns(request: Request, model: Model) -> None:
    if not request.turns:
        raise refusal("Empty", "there is nothing to ask: no prompt and no picture")
    for position, turn in enumerate(request.turns):
        if turn.role == "system" and position > 0:
            raise refusal("Turns", "a system message stands first or not at all")
        if turn.role == "system" and not all(isinstance(part, Text) for part in turn.parts):
            raise refusal("Turns", "a system message is text only")
        for part in turn.parts:
            if not isinstance(part, Text) or part.text.strip():
                break
        else:
            raise refusal("Empty", f"turn {position + 1} ({turn.role}) has neither text nor picture")
    if request.turns[-1].role != "user":
        raise refusal("Turns", "the last turn must be the user's")
    if model.needs_image and not any(
        isinstance(part, Image) for turn in request.turns if turn.role == "user" for part in turn.parts
    ):
        raise refusal("NeedsPicture", f"{model.name} needs at least one picture; a text alone is refused")


def _items(request: Request, model: Model) -> None:
    if not request.items:
        raise refusal("Empty", "there is nothing to embed: no picture, no text and no sound")
    if len(request.items) > 1 and model.fusion == "never":
        raise refusal("OneItem", f"{model.name} gives one vector per item; give one item per row")
    truncates = request.parameters.get("auto_truncation") is True
    for item in request.items:
        if item.factor is not None and not (math.isfinite(item.factor) and item.factor > 0):
            raise refusal("Factor", f"factor {item.factor!r} is not greater than 0")
        if isinstance(item.part, Text):
            _item_text(item.part.text, model, truncates)
        elif isinstance(item.part.media, Loaded):
            _audio_length(item.part.media, model, truncates)


def _item_text(text: str, model: Model, truncates: bool) -> None:
    if not text.strip():
        raise refusal("Empty", "an empty text cannot be embedded")
    most = model.max_text_characters
    if most is not None and len(text) > most and not truncates:
        how = "shorten it or set provider.parameters.auto_truncation = true"
        raise refusal("TextTooLong", f"the text has {len(text)} characters, {model.name} takes {most}; {how}")


def _audio_length(media: Loaded, model: Model, truncates: bool) -> None:
    most = model.sound.max_seconds
    if media.kind == "audio" and most is not None and (media.seconds or 0) > most and not truncates:
        how = "cut it or set provider.parameters.auto_truncation = true"
        raise refusal("SoundTooLong", f"the sound is {media.seconds:g} s long, {model.name} takes {most:g} s; {how}")


def _kinds(found: list[Part], model: Model) -> None:
    kinds = list(map(type, found))
    images = kinds.count(Image)
    if images and model.images is False:
        raise refusal("Pictures", f"{model.name} takes no pictures")
    if model.max_images is not None and images > model.max_images:
        raise refusal("Pictures", f"{images} pictures, {model.name} takes {model.max_images}")
    if model.audio is False and Audio in kinds:
        raise refusal("Sound", f"{model.name} takes no sound")
    if model.text is False and Text in kinds:
        raise refusal("Text", f"{model.name} takes no text")
    for part in found:
        if isinstance(part, Video):
            _frames(part, model)
        elif isinstance(part, VideoFile):
            _video_file(part, model)


def _frames(video: Video, model: Model) -> None:
    if model.frames is False:
        raise refusal("Frames", f"{model.name} takes no frame lists")
    count, limits = len(video.frames), model.frame_limits
    if count == 0:
        raise refusal("Frames", "a frame list without frames")
    if (limits.min is not None and count < limits.min) or (limits.max is not None and count > limits.max):
        raise refusal("Frames", f"{count} frames, {model.name} takes {limits.min} to {limits.max}")
    fps = video.fps
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise refusal("Fps", f"fps {fps!r} is not greater than 0")


def _video_file(part: VideoFile, model: Model) -> None:
    if model.video is False:
        raise refusal("Video", f"{model.name} takes no video files; give it frames, or set media.frames")
    fps, limits = part.options.get("fps"), model.video_limits
    if fps is None:
        return
    low, high = limits.min_fps or 0.0, limits.max_fps or math.inf
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < math.inf or not low <= fps <= high:
        bounds = f"[{low:g}, {high:g}]" if limits.max_fps else "above 0"
        raise refusal("Fps", f"fps {fps!r} is outside {bounds}")


def part_options(request: Request, model: Model, endpoint: Endpoint) -> None:
    """Raises Fault (`Local.Option`) for a part's option that the wire form does not have, or that is out of bounds."""
    form = form_of(endpoint)
    for part in parts(request):
        if part.options:
            if request.embeds and isinstance(part, Text):
                raise refusal("Option", f"{', '.join(part.options)}: a text that is embedded has no options")
            check_part(part, form)
            checked = {name: value for name, value in part.options.items() if name not in _OWN_CHECKS}
            problems = check_parameters(checked, model, endpoint)
            if problems:
                raise refusal("Option", "; ".join(problems).replace("provider.parameters.", ""))


_OWN_CHECKS = frozenset({"cache_control", "fps", "min_frames", "max_frames"})
"""Options that are checked together with their part, or that only the service can check."""


def _reachable(media: Media | Loaded, model: Model, local: LocalFiles) -> None:
    url = media.url or ""
    scheme = url.partition(":")[0].lower()
    if url and scheme not in ("http", "https", "oss", "data"):
        raise refusal("Url", f"a {media.kind} at {scheme}: cannot be sent; http(s) URLs and local files can")
    if local == "refuse" and not url.startswith(("http://", "https://")):
        raise refusal(
            "UrlsOnly", f"{model.name} takes http(s) URLs only; put the {media.kind} where the service can fetch it"
        )
    if url.startswith("oss://") and local != "upload":
        raise refusal("Oss", "an oss:// reference works with DashScope's native protocol only")

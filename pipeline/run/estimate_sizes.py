"""Foretells what a job would cost with smaller pictures, by the model's own rule, from the sizes of the pictures."""

from __future__ import annotations

import msgspec

from pipeline.media.limits import exceeds
from pipeline.providers.body import all_media
from pipeline.providers.image_tokens import within
from pipeline.providers.media_options import shrinking_problem, shrunk_limits
from pipeline.report.estimate_extras import Size, Sizes
from pipeline.report.estimate_lines import Estimate
from pipeline.run.context import JobContext
from pipeline.run.estimate_look import Look
from pipeline.run.estimate_sharing import Figures
from pipeline.run.request_media import replaced
from pipeline.types import Loaded, Media, MediaLimits, Request

BOUNDS = (2560, 1280, 640, 320, 160)
"""Tokens of a picture that are tried. 2560 is the most of Qwen3-VL, 1280 of the models before it, by default."""


def sizes(context: JobContext, look: Look, drawn: Estimate) -> Sizes:
    """Returns the table of sizes. look: with its requests. drawn: the forecast with the pictures as they are."""
    model, resize = context.model, context.spec.job.media.resize
    pictures = [media for request in look.requests for media in _pictures(request)]
    known = [media for media in pictures if media.width and media.height]
    if (reason := _reason(context, len(known))) is not None:
        return Sizes(reason=reason)
    as_it_is = _summed(look, MediaLimits())
    table = [_size(None, 0.0, as_it_is, as_it_is, look, drawn)]
    for bound in BOUNDS:
        limits = shrunk_limits(MediaLimits(), model, bound)
        smaller = sum(exceeds(media.width or 1, media.height or 1, limits) for media in known)
        if smaller and shrinking_problem(model, bound, resize) is None:
            found = _summed(look, limits)
            table.append(_size(bound, smaller / len(known), found, as_it_is, look, drawn))
    unknown = len(pictures) - len(known)
    return Sizes(looked_at=len(look.requests), pictures=len(known), unknown=unknown, table=tuple(table))


def _reason(context: JobContext, known: int) -> str | None:
    """Returns why there is no table, None if there is one."""
    if context.model.tokens is None:
        return f"how {context.model.name} counts the tokens of a picture is not known"
    if not known:
        return 'no picture\'s size is known; pictures of URLs are made smaller only with media.fetch = "here"'
    if context.spec.job.media.resize == "off":
        return 'media.resize = "off" makes no picture smaller'
    return None


def _pictures(request: Request) -> list[Loaded]:
    found = [*all_media(request), *request.pages[1:]]
    return [media for media in found if isinstance(media, Loaded) and media.kind == "image"]


def _summed(look: Look, limits: MediaLimits) -> Figures:
    """Returns the figures of all rows with their pictures within `limits`."""
    total = Figures()
    for request in look.requests:
        total.add(look.figures_of(_shrunk(request, limits)))
    return total


def _shrunk(request: Request, limits: MediaLimits) -> Request:
    def instead(media: Media | Loaded) -> Media | Loaded:
        return _smaller(media, limits) if isinstance(media, Loaded) else media

    pages = tuple(_smaller(page, limits) for page in request.pages)
    return msgspec.structs.replace(replaced(request, instead), pages=pages)


def _smaller(media: Loaded, limits: MediaLimits) -> Loaded:
    width, height = media.width, media.height
    if not (width and height and limits.patch and limits.max_patches and exceeds(width, height, limits)):
        return media
    width, height = within(width, height, limits.patch, limits.max_patches)
    return msgspec.structs.replace(media, width=width, height=height)


def _size(bound: int | None, smaller: float, found: Figures, as_it_is: Figures, look: Look, drawn: Estimate) -> Size:
    """Returns a line of the table. The figures of all rows keep to the forecast's, in the proportion of the sample."""
    media = (found.media_tokens or 0) / (as_it_is.media_tokens or 1) * (drawn.media_tokens or 0)
    cost = apiece = None
    if drawn.cost is not None and found.cost is not None and as_it_is.cost:
        cost = drawn.cost * found.cost / as_it_is.cost
        apiece = found.cost / len(look.requests) * 1_000
    return Size(max_tokens=bound, smaller=smaller, media_tokens=round(media), cost=cost, cost_per_1000=apiece)

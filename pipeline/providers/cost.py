"""The cost of an answer, and the most that a request can cost. An unknown cost is None, never 0."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipeline.providers import tokens
from pipeline.providers.body import parts
from pipeline.providers.models import Bound, Model
from pipeline.providers.parameter_bounds import known_bounds, most_output
from pipeline.providers.prices import Price
from pipeline.types import Audio, Part, Request, Text, Usage, VideoFile

CONTAINERS = frozenset(
    {"extra_body", "extra_parameters", "generation_config", "generationConfig", "options", "parameters",
     "sampling_params"}
)  # fmt: skip
"""Tables in which servers look for further parameters."""


def several_answers(parameters: Mapping[str, Any], model: Model) -> Iterator[str]:
    """A line for each parameter that asks for several answers to one question, also inside a table of parameters.

    One answer is kept of each question, so the others would be paid for and lost.
    """
    known = known_bounds(model.provider)
    for path, value in _walked(parameters):
        bound = model.bounds.get(path) or known.get(path.rpartition(".")[2])
        if bound is None or bound.cost != "answers" or value is None:
            continue
        if isinstance(value, bool) or value != 1:
            yield (
                f"provider.parameters.{path}: {value!r} asks for several answers at once, of which one would be kept; "
                "give the row several times under ids of their own, with [dedupe] equal = false"
            )


def _walked(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in parameters.items():
        yield prefix + name, value
        if name in CONTAINERS and isinstance(value, Mapping):
            yield from _walked(value, f"{prefix}{name}.")


def fee(parameters: Mapping[str, Any], model: Model) -> str | None:
    """The first parameter that may cost more than its tokens, so that a bill is not known; None without one.

    A parameter that no table knows may do anything. A user who knows that it costs nothing says so:
    `[models."…".bounds] name = { cost = "none" }`.
    """
    if not parameters:
        return None
    known = known_bounds(model.provider)
    for path, value in _walked(parameters):
        name = path.rpartition(".")[2]
        if not _idle(value) and _cost(model.bounds.get(name), known.get(name)) == "unknown" and not _free(name, value):
            return path
    return None


def _cost(own: Bound | None, known: Bound | None) -> str:
    if own is not None and own.cost is not None:
        return own.cost
    return "unknown" if known is None else known.cost or "none"


def _idle(value: Any) -> bool:
    """Whether a value switches nothing on: `false`, an empty list, `{ enable = false }`."""
    return value is None or value is False or value in ("", [], {}) or _switched_off(value)


def _switched_off(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("enable") is False


def _free(name: str, value: Any) -> bool:
    """Tools that are functions of the caller cost the tokens of their description; OpenAI's default tier nothing."""
    if name == "tools" and isinstance(value, list | tuple):
        return all(isinstance(tool, Mapping) and tool.get("type") == "function" for tool in value)
    return name == "service_tier" and value == "default"


class _Rates(NamedTuple):
    """Amounts per token × `price.per`. `media` and `audio` are of pictures and sounds in the input."""

    words: float
    media: float
    audio: float
    cached: float
    written: float
    output: float


def cost(usage: Usage, model: Model, request: Request | None = None) -> tuple[float | None, str | None]:
    """The price of an answer and its currency, (None, None) where price or counts are not known.

    request: what was asked; without it a text alone is assumed. An answer whose output was not counted has no cost,
    except for embeddings, which have no output. Nor has one whose request could add fees to its tokens. Tokens read
    from the service's cache cost `price.cached` where that is given.
    """
    price = model.price
    if price is None or (request is not None and fee(request.parameters, model) is not None):
        return None, None
    counted = usage.input_units if price.basis == "units" else usage.input_tokens
    output = 0 if usage.output_tokens is None and model.tasks == ("embed",) else usage.output_tokens
    kinds = _kinds(request) if request is not None and _tells_kinds(price) else frozenset()
    if counted is None or output is None:
        return None, None
    by_kind = _split(usage, price, kinds, counted)
    if by_kind is None:
        return None, None
    cache = usage.cached_tokens or usage.written_tokens
    rates = _rates(price, counted, explicit=bool(cache) and _marks_cache(request), media=bool(kinds))
    words, media, audio = by_kind
    cached, written = min(usage.cached_tokens or 0, words), min(usage.written_tokens or 0, words)
    written = min(written, words - cached)
    amount = (words - cached - written) * rates.words + media * rates.media + audio * rates.audio
    amount += cached * rates.cached + written * rates.written + output * rates.output
    return amount / price.per, price.currency


def _split(usage: Usage, price: Price, kinds: frozenset[str], counted: int) -> tuple[int, int, int] | None:
    """Input tokens as (words, media, sounds) where these cost differently; None where the usage does not tell."""
    apart = {"media": price.media_input, "sounds": price.audio_input}
    if not any(apart[kind] is not None for kind in kinds):
        return counted, 0, 0
    audio = usage.audio_tokens if len(kinds) > 1 or "media" in kinds else usage.media_tokens
    if usage.media_tokens is None or (audio is None and len(kinds) > 1):
        return None
    own = min(usage.media_tokens, counted)
    heard = min(audio or 0, own)
    return counted - own, own - heard, heard


def worst_case(request: Request, model: Model) -> float | None:
    """The most one attempt can cost, in the price's currency: the upper estimate of the input and the largest output.

    Where the input cannot be counted, the most that the model takes stands for it: the service refuses more. None
    where price, input or output has no known bound, or a parameter may add a fee.
    """
    price = model.price
    if price is None or price.basis == "units" or fee(request.parameters, model) is not None:
        return None
    output = 0 if request.embeds else most_output(request.parameters, model)
    if output is None:
        return None
    counted = tokens.count(request, model, "most")
    total = counted.total if counted.total is not None else model.input_limit
    if total is None:
        return None
    ends = [total, *(tier.up_to for tier in price.tiers if tier.up_to < total)]
    return max(_at_most(request, price, counted, end, output) for end in ends) / price.per


def _at_most(request: Request, price: Price, counted: tokens.Count, total: int, output: int) -> float:
    """The most that `total` input tokens and `output` tokens cost × `price.per`, whatever was cached."""
    kinds = _kinds(request)
    rates = _rates(price, total, explicit=_marks_cache(request), media=bool(kinds))
    dearest = max(rates.words, rates.cached, rates.written)
    if counted.total is None or total < counted.total:
        spread = max(dearest, rates.media if "media" in kinds else 0.0, rates.audio if "sounds" in kinds else 0.0)
        return total * spread + output * rates.output
    media, audio = counted.media or 0, counted.audio or 0
    by_kind = counted.words * dearest + media * max(rates.media, dearest) + audio * max(rates.audio, dearest)
    return by_kind + output * rates.output


def expected(request: Request, model: Model, output: float) -> float | None:
    """What an answer of `output` tokens is expected to cost, never above `worst_case`; None where it is not known."""
    price = model.price
    counted = tokens.count(request, model, "expected")
    if price is None or price.basis == "units" or counted.total is None or fee(request.parameters, model) is not None:
        return None
    most = most_output(request.parameters, model)
    answer = output if most is None else min(output, most)
    rates = _rates(price, counted.total, explicit=False, media=bool(_kinds(request)))
    media, audio = counted.media or 0, counted.audio or 0
    amount = counted.words * rates.words + media * rates.media + audio * rates.audio + answer * rates.output
    if model.input_limit is not None and counted.total > model.input_limit:
        # Pictures counted as in samples come to more than the model takes: an answer shows that they were fewer.
        return min(amount / price.per, worst_case(request, model) or math.inf)
    return amount / price.per


def _tells_kinds(price: Price) -> bool:
    apart = price.media_input is not None or price.audio_input is not None or price.media_output is not None
    return apart and price.basis == "tokens"


def _kinds(request: Request) -> frozenset[str]:
    return frozenset(kind for part in parts(request) for kind in _kinds_of(part))


def _kinds_of(part: Part) -> tuple[str, ...]:
    """A video file is seen, and may be heard."""
    if isinstance(part, Text):
        return ()
    if isinstance(part, VideoFile):
        return ("media", "sounds")
    return ("sounds",) if isinstance(part, Audio) else ("media",)


def _marks_cache(request: Request | None) -> bool:
    """Whether a part is marked for the service's explicit cache (`cache_control`)."""
    return request is not None and any("cache_control" in part.options for part in parts(request))


def _rates(price: Price, counted: int, *, explicit: bool, media: bool) -> _Rates:
    """The rates of a request with `counted` input tokens."""
    tier = next((tier for tier in price.tiers if counted <= tier.up_to), None)
    if tier is None and price.input is None:
        tier = price.tiers[-1]
    words = tier.input if tier is not None else price.input or 0.0
    output = tier.output if tier is not None else price.output
    cached = tier.cached if tier is not None and tier.cached is not None else price.cached
    if explicit and price.explicit_read is not None:
        cached = words * price.explicit_read
    return _Rates(
        words=words,
        media=words if price.media_input is None else price.media_input,
        audio=words if price.audio_input is None else price.audio_input,
        cached=words if cached is None else cached,
        written=words * price.explicit_write if explicit and price.explicit_write is not None else words,
        output=_output(price, words, output, media),
    )


def _output(price: Price, words: float, output: float | None, media: bool) -> float:
    if media and price.media_output is not None:
        return price.media_output
    return words if output is None else output

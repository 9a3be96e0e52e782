"""The cost of an answer, and the most that a request can cost. An unknown cost is None, never 0."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipeline.providers import tokens
from pipeline.providers.body import parts
from pipeline.providers.model import Bound, Model
from pipeline.providers.parameter_bounds import known_bounds, most_output
from pipeline.providers.prices import Price
from pipeline.types import Audio, Part, Request, Text, Usage, VideoFile

CONTAINERS = frozenset(
    {"extra_body", "extra_parameters", "generation_config", "generationConfig", "options", "parameters",
     "sampling_params"}
)  # fmt: skip
"""Names of parameters that are tables, in which servers look for further parameters."""


def several_answers(parameters: Mapping[str, Any], model: Model) -> Iterator[str]:
    """Yields a line for each parameter that asks for several answers to one question, also inside CONTAINERS.

    Only one answer to each question is kept. The other answers would be paid for and lost.
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
    """Returns the first parameter that may add a fee to the bill beyond tokens, or None if there is no such parameter.

    A parameter that no table knows may add a fee. A user who knows that the parameter costs nothing writes:
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
    """Tells whether a value switches nothing on, such as `false`, an empty list or `{ enable = false }`."""
    return value is None or value is False or value in ("", [], {}) or _switched_off(value)


def _switched_off(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("enable") is False


def _free(name: str, value: Any) -> bool:
    """Tells whether a parameter with this value adds no fee.

    Tools that are functions of the caller cost only the tokens of their description. OpenAI's default service tier
    costs nothing.
    """
    if name == "tools" and isinstance(value, list | tuple):
        return all(isinstance(tool, Mapping) and tool.get("type") == "function" for tool in value)
    return name == "service_tier" and value == "default"


class _Rates(NamedTuple):
    """Amounts per token × `price.per`. `media` is the rate of pictures in the input, `audio` the rate of sounds."""

    words: float
    media: float
    audio: float
    cached: float
    written: float
    output: float


def cost(usage: Usage, model: Model, request: Request | None = None) -> tuple[float | None, str | None]:
    """Returns the cost of an answer and its currency, or (None, None) if the price or the token counts are not known.

    request: the request of the answer. Without a request, only text is assumed. An answer whose output was not
    counted has no known cost, except for embeddings, which have no output. An answer whose request may add a fee has
    no known cost either. Tokens read from the service's cache cost `price.cached` if `price.cached` is given.
    """
    price = model.price
    if price is None or (request is not None and fee(request.parameters, model) is not None):
        return None, None
    counted = usage.input_units if price.basis == "units" else usage.input_tokens
    embeds = model.tasks == ("embed",) if request is None else request.embeds
    output = 0 if usage.output_tokens is None and embeds else usage.output_tokens
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
    """Returns the input tokens as (words, media, sounds), or None if the usage does not tell these numbers.

    If words, media and sounds cost the same, all tokens count as words.
    """
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
    """Returns the most that one attempt can cost, in the currency of the price.

    The cost is counted for the upper estimate of the input and the largest output. If the input cannot be counted,
    the input limit of the model is used: the service refuses more. Returns None if price, input or output has no
    known bound, or if a parameter may add a fee.
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
    """Returns the most that `total` input tokens and `output` tokens cost × `price.per`, whatever was cached."""
    kinds = _kinds(request)
    rates = _rates(price, total, explicit=_marks_cache(request), media=bool(kinds))
    dearest = max(rates.words, rates.cached, rates.written)
    if counted.total is None or total < counted.total:
        spread = max(dearest, rates.media if "media" in kinds else 0.0, rates.audio if "sounds" in kinds else 0.0)
        return total * spread + output * rates.output
    media, audio = counted.media or 0, counted.audio or 0
    by_kind = counted.words * dearest + media * max(rates.media, dearest) + audio * max(rates.audio, dearest)
    return by_kind + output * rates.output


def expected(request: Request, model: Model, output: float, counted: tokens.Count | None = None) -> float | None:
    """Returns the expected cost of an answer of `output` tokens, or None if the cost is not known.

    counted: the expected input, if the caller counted it already. The expected cost is never above `worst_case`.
    """
    price = model.price
    counted = tokens.count(request, model, "expected") if counted is None else counted
    if price is None or price.basis == "units" or counted.total is None or fee(request.parameters, model) is not None:
        return None
    most = most_output(request.parameters, model)
    answer = output if most is None else min(output, most)
    rates = _rates(price, counted.total, explicit=False, media=bool(_kinds(request)))
    media, audio = counted.media or 0, counted.audio or 0
    amount = counted.words * rates.words + media * rates.media + audio * rates.audio + answer * rates.output
    if model.input_limit is not None and counted.total > model.input_limit:
        # Pictures counted as in samples exceed the limit of the model. If the model answers, they had fewer tokens.
        return min(amount / price.per, worst_case(request, model) or math.inf)
    return amount / price.per


def _tells_kinds(price: Price) -> bool:
    apart = price.media_input is not None or price.audio_input is not None or price.media_output is not None
    return apart and price.basis == "tokens"


def _kinds(request: Request) -> frozenset[str]:
    return frozenset(kind for part in parts(request) for kind in _kinds_of(part))


def _kinds_of(part: Part) -> tuple[str, ...]:
    """Returns the kinds of a part's input tokens. A video file has pictures and may have sound: it has both kinds."""
    if isinstance(part, Text):
        return ()
    if isinstance(part, VideoFile):
        return ("media", "sounds")
    return ("sounds",) if isinstance(part, Audio) else ("media",)


def _marks_cache(request: Request | None) -> bool:
    """Tells whether a part is marked for the service's explicit cache (`cache_control`)."""
    return request is not None and any("cache_control" in part.options for part in parts(request))


def _rates(price: Price, counted: int, *, explicit: bool, media: bool) -> _Rates:
    """Returns the rates of a request with `counted` input tokens."""
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

"""The errors with which the services answer, and the bounds of parameters that lead to these errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

Protocol = Literal["native", "compatible", "qianfan"]


class _Table(msgspec.Struct):
    source: str
    columns: tuple[str, ...]
    kinds: dict[str, dict[Protocol, tuple[int, str, str, str]]]


@cache
def _table() -> dict[str, dict[Protocol, tuple[int, str, str, str]]]:
    """Returns kind → protocol → HTTP status, code, type, message."""
    return msgspec.json.decode(Path(__file__).with_name("refusals.json").read_bytes(), type=_Table).kinds


class Refusal(Exception):
    """A request that is answered with an error of this kind. If `message` is given, it replaces the table's words."""

    def __init__(self, kind: str, message: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after


def status_of(refusal: Refusal, protocol: Protocol) -> int:
    return _table()[refusal.kind][protocol][0]


def body_of(refusal: Refusal, protocol: Protocol, request_id: str) -> dict[str, Any]:
    """Returns the JSON body in the shape of the protocol: flat for native, nested `error` for the two others."""
    _status, code, kind, message = _table()[refusal.kind][protocol]
    message = refusal.message or message
    if protocol == "native":
        return {"code": code, "message": message, "request_id": request_id}
    if protocol == "compatible":
        error = {"message": message, "type": kind, "param": None, "code": code}
        return {"error": error, "request_id": request_id}
    return {"error": {"code": code, "message": message, "type": kind}, "id": request_id}


_HUGE = 1e300
# Qwen-Omni up to Qwen3.5-Omni answers only in streams (Model Studio's page on Qwen-Omni). The captioner and
# Qwen3.8-Omni may answer without a stream.
_STREAMS_ONLY = re.compile(r"qvq|qwq|qwen-omni|qwen(?:2\.5|3|3\.5)-omni(?!.*captioner)")
_NOT_NATIVE = re.compile(r"qwen(?:\d(?:\.\d)?)?-omni(?!.*captioner)")
_FORCED_INCREMENTAL = re.compile(r"qwen3|qvq|qwq")


def number(parameters: Mapping[str, Any], name: str) -> float | None:
    """Returns the value of a number, or None if the value is absent or null. Raises Refusal if it is no number."""
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _HUGE:
        raise Refusal("parameter", f"Parameter {name} should be a number.")
    return float(value)


def integer(parameters: Mapping[str, Any], name: str, least: int, most: int | None) -> int | None:
    """Returns a whole number within [least, most], or None if the value is absent or null. Raises Refusal."""
    value = number(parameters, name)
    if value is None:
        return None
    if value != int(value) or value < least or (most is not None and value > most):
        bounds = f"[{least}, {most}]" if most is not None else f"[{least}, ...)"
        raise Refusal("parameter", f"Range of {name} should be {bounds}")
    return int(value)


def sampling(parameters: Mapping[str, Any], *, hottest: float | None = 2.0, seeds: int = 2**63 - 1) -> None:
    """Checks temperature [0, hottest), top_p (0, 1], top_k ≥ 0, penalties, seed, n = 1, stop. Raises Refusal."""
    heat = number(parameters, "temperature")
    if heat is not None and (heat < 0 or (hottest is not None and heat >= hottest)):
        raise Refusal("parameter", f"Range of temperature should be [0.0, {hottest})")
    top_p = number(parameters, "top_p")
    if top_p is not None and not 0 < top_p <= 1:
        raise Refusal("parameter", "Range of top_p should be (0.0, 1.0]")
    integer(parameters, "top_k", 0, None)
    repetition = number(parameters, "repetition_penalty")
    if repetition is not None and repetition <= 0:
        raise Refusal("parameter", "Range of repetition_penalty should be (0.0, ...)")
    presence = number(parameters, "presence_penalty")
    if presence is not None and not -2 <= presence <= 2:
        raise Refusal("parameter", "Range of presence_penalty should be [-2.0, 2.0]")
    integer(parameters, "seed", 0, seeds)
    integer(parameters, "n", 1, 1)
    stop = parameters.get("stop")
    if stop is not None and not isinstance(stop, str | list):
        raise Refusal("parameter", "Parameter stop should be a string or a list.")


def native(model: str, parameters: Mapping[str, Any], *, stream: bool) -> int | None:
    """Checks the rules of the native protocol. Returns the most tokens of the answer, or None. Raises Refusal."""
    if _NOT_NATIVE.match(model):  # "Qwen-Omni models support only OpenAI-compatible calls", the page on Qwen-Omni
        raise Refusal("parameter", "url error, please check url!")
    if model.startswith("llama3.2"):
        if "incremental_output" in parameters:
            raise Refusal("parameter", "The incremental_output parameter is not supported by this model.")
        sampling(parameters, hottest=None)
        integer(parameters, "min_new_tokens", 1, 8192)
        return integer(parameters, "max_new_tokens", 1, 8192)
    sampling(parameters)
    incremental = parameters.get("incremental_output")
    if incremental is not None and not isinstance(incremental, bool):
        raise Refusal("parameter", "Parameter incremental_output should be a bool.")
    if incremental is False and stream and _FORCED_INCREMENTAL.match(model):
        raise Refusal("parameter", "The incremental_output parameter of this model cannot be set to False.")
    if parameters.get("ocr_options") is not None and "ocr" not in model:
        raise Refusal("parameter", "The ocr_options parameter is supported by qwen-vl-ocr models only.")
    need_stream(model, stream=stream)
    return integer(parameters, "max_tokens", 1, None)


def need_stream(model: str, *, stream: bool) -> None:
    """Raises Refusal if the request is no stream and the model answers only in streams."""
    if not stream and _STREAMS_ONLY.match(model):
        raise Refusal(
            "parameter",
            "This model only support stream mode, please enable the stream parameter to access the model. ",
        )


def answers_in_text(body: Mapping[str, Any]) -> None:
    """Raises Refusal if the caller asks for a spoken answer."""
    wanted = body.get("modalities")
    if wanted is not None and (not isinstance(wanted, list) or "audio" in wanted):
        raise Refusal("parameter", 'The embedded service does not speak: modalities should be ["text"].')


def incremental_by_default(model: str) -> bool:
    return _FORCED_INCREMENTAL.match(model) is not None


def json_wish(parameters: Mapping[str, Any], prompts: str) -> None:
    """Raises Refusal if `response_format` is `json_object` and no message contains the word "json"."""
    form = parameters.get("response_format")
    if isinstance(form, Mapping) and form.get("type") == "json_object" and "json" not in prompts.lower():
        raise Refusal(
            "parameter",
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        )

"""The one mapping between the names services have for the bound on output tokens.

`max_tokens`, `max_completion_tokens` and `max_new_tokens` mean the same. A job may use any of them: a name that the
model takes is sent as written, another one is sent under the model's preferred name (`output_names` in models.toml).
For a model that is not known the name is sent as written (protocol reference, trap 26).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.providers.models import Model

NAMES = ("max_tokens", "max_completion_tokens", "max_new_tokens")


def accepted(model: Model, protocol: str) -> tuple[str, ...]:
    """Under which names the model takes the bound over this protocol; () where not known.

    DashScope's native protocol has no `max_completion_tokens` (protocol reference §3.2)."""
    names = model.output_names or ()
    if protocol == "native":
        names = tuple(name for name in names if name != "max_completion_tokens")
    return names


def renamed(parameters: Mapping[str, Any], model: Model, protocol: str) -> dict[str, Any]:
    """The parameters with the output bound under a name that the model takes; their order is kept."""
    names = accepted(model, protocol)
    if not names:
        return dict(parameters)
    return {(names[0] if key in NAMES and key not in names else key): value for key, value in parameters.items()}


def asked(parameters: Mapping[str, Any]) -> int | None:
    """The bound a request states, under whichever name; None without one."""
    found = [parameters[name] for name in NAMES if isinstance(parameters.get(name), int)]
    return min(found) if found else None


def most_output(parameters: Mapping[str, Any], model: Model) -> int | None:
    """The most output tokens that one answer can have; None without a bound.

    The bound is the request's own, else the model's. What Qwen and ERNIE models think comes on top, up to
    `thinking_budget`, else up to the most that the model thinks (protocol reference §3.2). OpenAI's bound includes it.
    """
    stated, most = asked(parameters), model.max_output_tokens
    bound = stated if most is None else most if stated is None else min(stated, most)
    if bound is None or model.provider == "openai":
        return bound
    thought = _most_thought(parameters, model)
    return None if thought is None else bound + thought


def _most_thought(parameters: Mapping[str, Any], model: Model) -> int | None:
    switch, budget = parameters.get("enable_thinking"), parameters.get("thinking_budget")
    if model.thinking == "never" or (model.thinking != "always" and switch is False):
        return 0
    if model.thinking == "off" and switch is None and budget is None:
        return 0
    most = model.max_thinking_tokens
    if isinstance(budget, bool) or not isinstance(budget, int):
        return most
    return budget if most is None else min(budget, most)

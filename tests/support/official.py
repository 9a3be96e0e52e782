"""The services' official clients, called with the input of a documented sample; what they send is recorded."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.asking import DATA_URL, UPLOADED
from support.captures import messages_of, replaced_pictures, whole_reply
from support.client import FAKE_KEY, Seen, Service, serving

ANSWER = "An answer."
_ASKED = ("/generation", "/multimodal-embedding", "/chat/completions")
_OPENAI_OWN = (
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "response_format",
)


@contextmanager
def answering() -> Iterator[Service]:
    """A loopback service that takes uploads and answers every question with one text."""

    def instead(seen: Seen) -> tuple[int, bytes] | None:
        if not seen.path.endswith(_ASKED):
            return None
        # A stream that ends at once is an answer to these clients; dashscope reads what is no stream as JSON.
        empty = seen.path.endswith("/chat/completions") and seen.json.get("stream") is True
        return 200, b"" if empty else whole_reply(ANSWER, seen.path)

    with serving(instead=instead) as service:
        yield service


class Documented:
    """A documented request as the input of a client. `folder` holds the files that its local references name."""

    def __init__(self, theirs: Mapping[str, Any], folder: Path) -> None:
        body = replaced_pictures(theirs["body_json"], DATA_URL)
        self.body = json.loads(json.dumps(body, ensure_ascii=False).replace(UPLOADED, f"file://{folder}/"))
        self.path: str = theirs["path"]
        self.headers = {name.lower(): value for name, value in theirs["headers"]}
        self.stream = self.headers.get("x-dashscope-sse") == "enable" or self.body.get("stream") is True
        self.native = "input" in self.body
        table = self.body.get("parameters") or {} if self.native else self.body
        ours = ("model", "messages", "stream", "stream_options", "extra_parameters")
        self.parameters = {name: value for name, value in table.items() if name not in ours}

    def rounds(self, answered: Callable[[list[Any]], Any]) -> None:
        """Asks as the documents do: each question with the turns so far, the client's own answers among them."""
        turns: list[Any] = []
        for message in copy.deepcopy(messages_of(self.body)):
            if message["role"] == "assistant":
                turns.append(answered(turns))
            else:
                turns.append(message)
        answered(turns)


def with_dashscope(sample: Documented, service: Service, patch: pytest.MonkeyPatch) -> None:
    """dashscope's calls of the documents: MultiModalConversation and MultiModalEmbedding."""
    import dashscope

    patch.setattr(dashscope, "base_http_api_url", f"{service.url}/api/v1")
    common = {"model": sample.body["model"], "api_key": FAKE_KEY, **sample.parameters}
    common["workspace"] = sample.headers.get("x-dashscope-workspace")
    if "contents" in sample.body["input"]:
        dashscope.MultiModalEmbedding.call(input=sample.body["input"]["contents"], **common)
        return

    def ask(turns: list[Any]) -> Any:
        found: Any = dashscope.MultiModalConversation.call(messages=turns, stream=sample.stream, **common)
        return list(found) if sample.stream else found.output.choices[0].message

    sample.rounds(ask)


def with_openai(sample: Documented, service: Service, patch: pytest.MonkeyPatch) -> None:
    """The openai client with the service's base URL; what OpenAI does not know goes into `extra_body`."""
    import openai

    base = service.url + sample.path.removesuffix("/chat/completions")
    own = {name: value for name, value in sample.body.items() if name in _OPENAI_OWN and name != "messages"}
    extra = {name: value for name, value in sample.parameters.items() if name not in own}
    headers = {name: value for name, value in sample.headers.items() if name == "appid"}
    with openai.OpenAI(api_key=FAKE_KEY, base_url=base, max_retries=0) as client:

        def ask(turns: list[Any]) -> Any:
            found = client.chat.completions.create(messages=turns, extra_body=extra, extra_headers=headers, **own)
            return list(found) if sample.stream else found.choices[0].message.model_dump()

        sample.rounds(ask)


def with_qianfan(sample: Documented, service: Service, patch: pytest.MonkeyPatch) -> None:
    """The qianfan client's V2 chat."""
    import qianfan

    config = qianfan.get_config()
    for name, value in (("BEARER_TOKEN", FAKE_KEY), ("CONSOLE_API_BASE_URL", service.url), ("NO_AUTH", False)):
        patch.setattr(config, name, value)
    chat = qianfan.ChatCompletion(version=2, model=sample.body["model"], app_id=sample.headers.get("appid"))

    def ask(turns: list[Any]) -> Any:
        found = chat.do(messages=turns, stream=sample.stream, **sample.parameters)
        return list(found) if sample.stream else found.body["choices"][0]["message"]

    sample.rounds(ask)

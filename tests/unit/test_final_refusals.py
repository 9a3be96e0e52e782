"""Refusals that no further attempt mends: said once, or twice where the words alone do not prove it."""

from __future__ import annotations

import pytest

from pipeline.providers import faults
from pipeline.providers.error_body import ErrorInfo

NO_PICTURES = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
OLLAMA = "this model is missing data required for image input"


@pytest.mark.parametrize("service", ["openai", "dashscope", "qianfan"])
@pytest.mark.parametrize("status", [501, 505])
def test_what_a_server_never_does_is_final_at_once(service: str, status: int) -> None:
    assert faults.classify(service, status, ErrorInfo(message="Not Implemented")) == ("rejected", "no")


@pytest.mark.parametrize("service", ["openai", "dashscope", "qianfan"])
def test_a_proxy_that_wants_a_password_stops_the_run(service: str) -> None:
    info = ErrorInfo(message="Proxy Authentication Required")
    assert faults.classify(service, 407, info) == ("account", "no")
    fault = faults.fault(service, 407, info, {})
    assert "HTTPS_PROXY" in fault.message


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("words", [NO_PICTURES, NO_PICTURES.replace("image", "audio"), OLLAMA])
def test_a_picture_for_a_model_of_text_is_asked_twice_at_most(words: str, status: int) -> None:
    info = ErrorInfo(code=str(status), kind="server_error", message=words)
    kind, retry = faults.classify("openai", status, info)
    assert retry in ("once", "no")
    assert kind in ("transient", "rejected")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 508, 529])
def test_other_faults_of_a_server_are_passing(status: int) -> None:
    assert faults.classify("openai", status, ErrorInfo(message="oops")) == ("transient", "yes")

"""Laws of counting: no text has more tokens than its bound, and no picture more than `media.max_tokens` allows."""

from __future__ import annotations

from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipeline.media.limits import exceeds, scaled
from pipeline.providers.image_tokens import image_tokens
from pipeline.providers.media_options import shrinking_problem, shrunk_limits
from pipeline.providers.models import find
from pipeline.providers.tokenizers import tokenizer
from pipeline.providers.tokens import text_tokens
from pipeline.types import MediaLimits


@given(st.text(max_size=200), st.sampled_from(["qwen3-vl-plus", "qwen3.6-plus"]))
@example("\U0001d15e" * 10, "qwen3.6-plus")  # longer when it is composed
@example("\u0958\u0b5c" * 10, "qwen3-vl-plus")
def test_no_text_has_more_tokens_than_its_upper_bound(text, model):
    assert tokenizer(model).count(text) <= text_tokens(text)


@given(
    st.sampled_from(["qwen3-vl-plus", "qwen-vl-max", "qwen-vl-ocr", "qwen2.5-vl-72b-instruct"]),
    st.integers(20, 8_000),
    st.floats(1.0, 4.0),
    st.booleans(),
    st.integers(10, 3_000),
)
def test_a_picture_has_at_most_the_tokens_of_the_job(name, short, ratio, upright, most):
    model = find("dashscope", name)
    assume(shrinking_problem(model, most, "fit") is None)
    limits = shrunk_limits(MediaLimits(), model, most)
    size = (round(short * ratio), short)
    size = size[::-1] if upright else size
    sent = scaled(*size, limits) if exceeds(*size, limits) else size
    assert image_tokens(sent[0], sent[1], model.tokens) <= most
    assert max(sent) <= max(size)

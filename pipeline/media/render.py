"""Decodes a picture and writes it anew: upright, 8 bits a channel, sRGB, without metadata."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

from pipeline.errors import Fault, refusal
from pipeline.machine import pass_on
from pipeline.media.formats import is_complete_file
from pipeline.media.probe import Facts, open_image
from pipeline.media.rare_images import without_metadata

if TYPE_CHECKING:
    from PIL.Image import Image

Truncated = Literal["refuse", "send"]

# The formats that can be written, in order of preference.
WRITABLE = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "JPEG2000")
LOSSY = ("JPEG", "WEBP")


class Canvas:
    """A decoded picture that is resized and encoded. `_done` lists in words the changes that were made so far."""

    def __init__(self, image: Image, found: Facts, done: list[str]) -> None:
        self._image = image
        self._found = found
        self._done = done
        self._flattened = False

    @property
    def transparent(self) -> bool:
        return self._image.mode in ("RGBA", "LA")

    @property
    def pixels(self) -> int:
        return self._image.width * self._image.height

    def resize(self, width: int, height: int) -> None:
        """Resizes the picture to `width` × `height` pixels. Used only to make it smaller."""
        from PIL.Image import Resampling

        if (width, height) != self._image.size:
            self._image = self._image.resize((width, height), Resampling.LANCZOS, reducing_gap=3.0)

    def levels(self, width: int, height: int) -> bytes:
        """Returns a small copy of the picture in grey, on white: `width` × `height` bytes, row by row."""
        from PIL.Image import Resampling

        image = _on_white(self._image) if self.transparent else self._image
        return image.convert("L").resize((width, height), Resampling.BOX).tobytes()

    def encode(self, form: str, quality: int) -> bytes | None:
        """Returns the bytes in a format of WRITABLE; None if the format cannot hold a picture of this size."""
        image = self._image
        self._flattened = self.transparent and form in ("JPEG", "BMP", "GIF")
        if self._flattened:
            image = _on_white(image)
        file = io.BytesIO()
        try:
            image.save(file, form, **_options(form, quality))
        except (OSError, ValueError):  # JPEG takes at most 65,500 pixels a side, WebP 16,383
            return None
        return file.getvalue()

    def changes(self, form: str) -> str:
        """Returns in words what was done to the picture. `form`: the format in which it was written last."""
        found = self._found
        done = list(self._done)
        if self._image.size != (found.upright_width, found.upright_height):
            before = f"{found.upright_width}×{found.upright_height}"
            done.append(f"downscaled from {before} to {self._image.width}×{self._image.height}")
        if self._flattened:
            done.append("put on white")
        done.append(f"written as {form}" if form != found.format else f"written as {form} again")
        return ", ".join(done)


def drawn(image: Image, found: Facts) -> Canvas:
    """Returns the canvas of a page that was drawn here, in RGB."""
    return Canvas(image, found, ["drawn"])


def verify(body: bytes, name: str, truncated: Truncated = "refuse") -> None:
    """Decodes a whole picture to check that nothing is missing. With `truncated` "send", the end may be missing.

    Raises the same errors as `decoded`.
    """
    try:
        _loaded(body, name)
    except Fault as fault:
        if truncated == "refuse" or fault.code != "Local.TruncatedPicture":
            raise


def decoded(
    body: bytes,
    name: str,
    found: Facts,
    size: tuple[int, int],
    truncated: Truncated = "refuse",
    frame: int | None = None,
) -> Canvas:
    """Returns the decoded picture, upright, in mode L, LA, RGB or RGBA.

    `size`: (width, height) of the result, upright; never larger than the original. With `truncated` "send", the part
    that is missing at the end stays black or grey. `frame`: the directory of a TIFF to decode, counted from 0.
    Raises Fault `Local.TruncatedPicture`, `Local.DamagedPicture`.
    """
    from PIL.Image import Resampling

    turned = found.upright_width != found.width
    stored = (size[1], size[0]) if turned else size
    image = _loaded(body, name, stored, truncated, frame)
    done = ["first frame of the animation"] if found.animated else []
    image = _eight_bits(image, found, done)
    if image.size != stored:
        image = image.resize(stored, Resampling.LANCZOS, reducing_gap=3.0)
    image = _in_srgb(image, done)
    if found.orientation != 1:
        image = _upright(image, found.orientation)
        done.append("turned upright")
    return Canvas(image, found, done)


def _loaded(
    body: bytes,
    name: str,
    size: tuple[int, int] | None = None,
    truncated: Truncated = "refuse",
    frame: int | None = None,
) -> Image:
    """Returns the decoded picture. Decodes a JPEG much larger than `size` (as stored) at a fraction of its size."""
    image = open_image(body, name)
    if image.format == "JPEG" and size is not None:
        image.draft("", size)  # DCT scaling: 12 to 1 megapixel in 91 ms instead of 216
    try:
        try:
            if frame is not None:
                image.seek(frame)
            image.load()
        except Exception as error:
            if image.format != "PNG" or isinstance(error, (OSError, MemoryError)):
                raise
            image = open_image(without_metadata(body), name)  # the metadata behind the pixels may be the cause
            image.load()
    except Exception as error:  # a decoder may raise nearly anything on hostile bytes
        pass_on(error)
        fault = _damage(error, body, str(image.format), name)
        if truncated == "refuse" or fault.code != "Local.TruncatedPicture" or not _has_pixels(image):
            raise fault from None
    return image


def _has_pixels(image: Image) -> bool:
    """Tells whether a decoder that ended too early has left pixels. If so, marks the picture as decoded to its end."""
    if getattr(image, "_im", None) is None:
        return False
    image.tile = []  # type: ignore[attr-defined]  # a field of ImageFile: no part is left to decode
    return True


def _damage(error: Exception, body: bytes, form: str, name: str) -> Fault:
    words = str(error) or type(error).__name__
    if is_complete_file(body, form) is False or "truncated" in words.lower():
        return refusal("TruncatedPicture", f"{name}: the {form} is cut off after {len(body):,} bytes ({words})")
    return refusal("DamagedPicture", f"{name}: the {form} cannot be decoded ({words})")


def _eight_bits(image: Image, found: Facts, done: list[str]) -> Image:
    """Returns the picture in mode L, LA, RGB, RGBA or CMYK: these modes can be resized, and take a colour profile."""
    profile = image.info.get("icc_profile")
    if found.bits > 8:
        done.append(f"{found.bits} to 8 bits")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _scaled_grey(image)
    elif "transparency" in image.info or image.mode == "PA":
        image = image.convert("RGBA")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        image = image.convert("RGB")
    if profile:
        image.info["icc_profile"] = profile
    return image


def _scaled_grey(image: Image) -> Image:
    """Returns a grey picture of more than 8 bits with 8 bits.

    Divides values of 16 bits by 256. Scales all other values from their own range to 0–255. Pillow's convert("L") is
    not used: it sets all values above 255 to 255, which gives plain white.
    """
    import numpy as np
    from PIL import Image as Pictures

    values = np.asarray(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and 255 < values.max(initial=0) <= 65535):
        return Pictures.fromarray((values.astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    finite = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
    span = 1.0 if high == low else high - low
    return Pictures.fromarray(((finite - low) * (255.0 / span)).astype(np.uint8))


def _in_srgb(image: Image, done: list[str]) -> Image:
    """Returns the picture in sRGB colours, because models see numbers and no profiles.

    Colours are converted by the picture's own profile. Without a usable profile, only CMYK is converted, by Pillow's
    rule.
    """
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "RGBA", "CMYK"):
        converted = _by_profile(image, profile)
        if converted is not None:
            done.append("colours to sRGB")
            return converted
    if image.mode == "CMYK":
        done.append("CMYK to RGB")
        return image.convert("RGB")
    return image


def _by_profile(image: Image, profile: bytes) -> Image | None:
    """Returns the picture in sRGB by its profile; None if the profile is sRGB itself, or cannot be used."""
    try:
        from PIL import ImageCms
    except ImportError as error:  # Pillow built without littlecms
        pass_on(error)
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode != "CMYK" and "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None


def _upright(image: Image, orientation: int) -> Image:
    """Returns the picture turned upright by its orientation (EXIF 2.32, tag 0x0112)."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation])


def _on_white(image: Image) -> Image:
    from PIL import Image as Pictures

    alpha = image.getchannel("A")
    mode = "L" if image.mode == "LA" else "RGB"
    flat = Pictures.new(mode, image.size, "white")
    flat.paste(image.convert(mode), mask=alpha)
    return flat


def _options(form: str, quality: int) -> dict[str, Any]:
    if form == "JPEG":
        # Full colour resolution: at half the resolution, red text on blue smears.
        return {"quality": quality, "subsampling": 0, "icc_profile": None, "exif": b""}
    if form == "WEBP":
        return {"quality": quality, "icc_profile": None, "exif": b""}
    return {"icc_profile": None, "compress_level": 6} if form == "PNG" else {}

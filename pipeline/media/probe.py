"""Reads the facts of a picture from its header, without decoding the picture."""

from __future__ import annotations

import io
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from pipeline.errors import Fault, refusal
from pipeline.machine import pass_on
from pipeline.media.files import opened
from pipeline.media.formats import IMAGE_FORMATS, described, is_complete_file, sniff
from pipeline.media.rare_images import open_rare, without_metadata
from pipeline.media.redact import public
from pipeline.media.tiff import page_frames, silence_libtiff
from pipeline.types import Media

if TYPE_CHECKING:
    from PIL.Image import Image

# A picture with more pixels is never decompressed. The number is Pillow's own hard bound (twice its MAX_IMAGE_PIXELS),
# about 540 MB as RGB. The largest input that any service of the reference takes is 16 megapixels.
MAX_PIXELS = 178_956_970

_FACTORIES = {
    # Not jpeg_factory: that makes an animation of a phone's picture with a second picture behind it (MPO).
    "JPEG": ("JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "WEBP": ("WebPImagePlugin", "WebPImageFile"),
    "GIF": ("GifImagePlugin", "GifImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
    "DIB": ("BmpImagePlugin", "DibImageFile"),
    "TIFF": ("TiffImagePlugin", "TiffImageFile"),
    "JPEG2000": ("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "ICO": ("IcoImagePlugin", "IcoImageFile"),
    "ICNS": ("IcnsImagePlugin", "IcnsImageFile"),
    "SGI": ("SgiImagePlugin", "SgiImageFile"),
    "PPM": ("PpmImagePlugin", "PpmImageFile"),
}

# The EXIF orientations that turn the picture by a quarter turn.
_QUARTER_TURNS = (5, 6, 7, 8)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts that a picture's header states.

    `width`, `height`: in pixels, as stored. `upright_*`: with the EXIF orientation (1–8) applied. `mode`: Pillow's
    mode. `bits`: bits per channel. `animated`: the picture has several frames, shown one after another. `pages`: pages
    of a TIFF, else 1.
    """

    format: str
    width: int
    height: int
    orientation: int
    mode: str
    bits: int
    animated: bool
    pages: int = 1

    @property
    def upright_width(self) -> int:
        return self.height if self.orientation in _QUARTER_TURNS else self.width

    @property
    def upright_height(self) -> int:
        return self.width if self.orientation in _QUARTER_TURNS else self.height


def probe(media: Media, *, confine: str | None = None) -> Facts:
    """Returns the facts of a picture in a local file or a data: URL.

    Reads only the header of a file; reads the whole file only if the header seems damaged.
    Raises the same errors as `files.opened`, and Fault `Local.NotAPicture`, `Local.DamagedPicture`,
    `Local.TruncatedPicture`, `Local.TooManyPixels`, `Local.MissingExtra`. Raises ValueError for a URL.
    """
    name = public(media)
    if media.data is not None:
        return facts(open_image(media.data, name))
    if media.path is None:
        raise ValueError(f"{name} is not here")
    with opened(media, confine) as file:
        try:
            return facts(_open(file, file.read(1 << 16), name))
        except Fault as fault:
            if fault.code != "Local.DamagedPicture":
                raise
        file.seek(0)  # only the whole file shows whether the picture is damaged or cut off
        return facts(open_image(file.read(), name))


def open_image(body: bytes, name: str) -> Image:
    """Opens a picture without decoding it. The picture has at most MAX_PIXELS pixels.

    Raises the same errors as `probe`; Fault `Local.TruncatedPicture` for a picture that is cut off in its header.
    """
    try:
        return _open(io.BytesIO(body), body, name)
    except Fault as fault:
        form = sniff(body)
        if fault.code == "Local.DamagedPicture" and form and is_complete_file(body, form) is False:
            raise refusal("TruncatedPicture", f"{name}: the {form} is cut off after {len(body):,} bytes") from None
        raise


def facts(image: Image) -> Facts:
    """Returns the facts of an opened picture. Decodes nothing."""
    return Facts(
        format=str(image.format),
        width=image.width,
        height=image.height,
        orientation=_orientation(image),
        mode=image.mode,
        bits=_bits(image),
        animated=image.format != "TIFF" and bool(getattr(image, "is_animated", False)),
        pages=_pages(image) if image.format == "TIFF" else 1,
    )


def _pages(image: Image) -> int:
    file = getattr(image, "_fp", None) or getattr(image, "fp", None)
    if file is None:
        return 1
    place = file.tell()
    pages = len(page_frames(file))
    file.seek(place)
    return max(1, pages)


def _open(file: BinaryIO, head: bytes, name: str) -> Image:
    if not head:
        raise refusal("EmptyFile", f"{name}: the file is empty")
    form = sniff(head)
    if form is None and (rare := open_rare(file, head)) is not None:
        _check_size(rare.width, rare.height, name)
        return rare
    if form not in IMAGE_FORMATS:
        what = f"a {form} sound" if form else described(head)
        raise refusal("NotAPicture", f"{name}: not a picture but {what}")
    if form == "WEBP":
        _check_size(*_webp_size(head), name)
    try:
        image = _by_plugin(file, form)
    except Fault as fault:
        raise Fault("rejected", fault.code, f"{name}: {fault.message}") from None
    except Exception as error:  # a decoder may raise nearly anything on hostile bytes
        pass_on(error)
        raise refusal(
            "DamagedPicture", f"{name}: begins like {form}, but its header cannot be read ({error})"
        ) from None
    _check_size(image.width, image.height, name)
    return image


def _by_plugin(file: BinaryIO, form: str) -> Image:
    """Opens a picture with the class of its format. A PNG that is refused for its metadata is opened without them.

    Image.open is not used: it warns or raises by a process-wide setting, and tries other formats.
    """
    if form == "TIFF":
        silence_libtiff()
    plugin = _plugin(form)
    file.seek(0)
    try:
        image: Image = plugin(file)
    except Exception as error:
        if form != "PNG" or isinstance(error, (OSError, MemoryError)):
            raise
        file.seek(0)
        image = plugin(io.BytesIO(without_metadata(file.read())))
    return image


def load_readers() -> None:
    """Imports Pillow's readers and writers of pictures. Otherwise the first picture of each format imports them."""
    for module in {module for module, _ in _FACTORIES.values()} | {"Image", "ImageOps", "ImageCms", "ImageFile"}:
        with suppress(ImportError):  # a Pillow built without a format
            import_module(f"PIL.{module}")


def _plugin(form: str) -> Any:
    """Returns the class, of Pillow or of pillow-heif, that opens a format. Raises Fault `Local.MissingExtra`."""
    if form == "HEIF":
        try:
            from pillow_heif import HeifImageFile
        except ImportError as error:
            pass_on(error)
            way = "install it with: pip install 'multimodal-batch[heif]'"
            raise refusal("MissingExtra", f"a HEIC picture is read with pillow-heif; {way}") from None
        return HeifImageFile
    if form == "AVIF":
        try:
            plugin = import_module("PIL.AvifImagePlugin")
        except ImportError as error:
            pass_on(error)
            plugin = None
        if plugin is None or not plugin.SUPPORTED:
            raise refusal("MissingExtra", "an AVIF picture is read by Pillow 11.3 or newer: pip install -U Pillow")
        return plugin.AvifImageFile
    module, factory = _FACTORIES[form]
    return getattr(import_module(f"PIL.{module}"), factory)


def _check_size(width: int, height: int, name: str) -> None:
    if width < 1 or height < 1:
        raise refusal("DamagedPicture", f"{name}: the header states a size of {width}×{height}")
    if width * height > MAX_PIXELS:
        raise refusal(
            "TooManyPixels",
            f"{name}: {width}×{height} = {width * height:,} pixels; more than {MAX_PIXELS:,} are never decompressed",
        )


def _webp_size(head: bytes) -> tuple[int, int]:
    """Returns (width, height) of the canvas from the first chunk (RFC 9649); (1, 1) for an unknown chunk.

    The size must be checked first: Pillow's decoder allocates the canvas when it opens the file.
    """
    chunk = head[12:16]
    if chunk == b"VP8X" and len(head) >= 30:
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if chunk == b"VP8 " and len(head) >= 30:
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    if chunk == b"VP8L" and len(head) >= 25:
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return 1, 1


def _orientation(image: Image) -> int:
    if image.format == "PNG" and not {"exif", "Raw profile type exif", "xmp"} & image.info.keys():
        return 1  # Pillow would decode the whole PNG to look for EXIF behind the pixels
    try:
        found = image.getexif().get(0x0112, 1)
    except Exception:  # broken EXIF does not make a picture unusable
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _bits(image: Image) -> int:
    """Returns the bits per channel as stored. Pillow's mode does not show them for 16-bit colour."""
    if image.format == "TIFF":
        stored = getattr(image, "tag_v2", {}).get(258, (8,))
        return int(max(stored)) if isinstance(stored, tuple) else int(stored)
    if image.mode in ("I", "F"):
        return 32
    if image.mode.startswith("I;16"):
        return 16
    tiles = getattr(image, "tile", None)
    raw = str(tiles[0][3]) if image.format == "PNG" and tiles else ""
    return 16 if ";16" in raw else 8

# SPDX-License-Identifier: Apache-2.0
"""Opens a picture, decoded and upright, or says in one sentence why that cannot be."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from monai_cl_ext.data.opening import open_file
from monai_cl_ext.extras import need

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # others may start programs, as EPS does
PNG = b"\x89PNG\r\n\x1a\n"
NOT_PIXELS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")  # pillow refuses a sound picture where one of these is large
ORIENTATION, BITS, COMPRESSION, WHITE_IS, SAMPLE_FORMAT = 274, 258, 259, 262, 339  # tags of EXIF and TIFF
UPRIGHT = 1


def open_picture(file: str | Path) -> Image:
    """The picture of a file, decoded and turned as its EXIF orientation says.

    What the file holds counts, not its suffix: PNG, JPEG, BMP, TIFF, WebP, or GIF, of one picture.

    Raises:
        FileNotFoundError, PermissionError: when the file is absent or may not be read.
        ValueError: when it is damaged, too large, several pictures in one, or has numbers that pillow would not keep.
            Every message names the file and a remedy.
        ImportError: when pillow is missing.
    """
    picture, stream = _opened(file)
    try:
        with stream:
            fault, orientation = _fault(picture), _orientation(picture)
            if not fault:
                picture.load()
                fault = _fault_of_numbers(picture)
    except Exception as error:  # each format has its own
        raise _unreadable(file, error) from error
    if fault:
        raise ValueError(f"{file}: {fault}")
    if orientation != UPRIGHT and picture.format != "TIFF":  # pillow turns TIFF itself
        from PIL import ImageOps

        ImageOps.exif_transpose(picture, in_place=True)
    return picture


def orientation_of(file: str | Path) -> int:
    """The EXIF orientation of a picture, 1 to 8; 1 where it has none. Only the header is read."""
    picture, stream = _opened(file)
    with stream:
        return _orientation(picture)


def converted(picture: Image, mode: str, file: str | Path) -> Image:
    """A picture in another mode of pillow; transparency is left out, and the colors below it stay.

    Raises:
        ValueError: when pillow does not convert between the modes; the message names the file.
    """
    picture.info.pop("transparency", None)  # of a palette pillow would warn that it is lost
    try:
        return picture if picture.mode == mode else picture.convert(mode)
    except ValueError as error:
        raise ValueError(f"{file}: colors of the kind {picture.mode} ({error}); save it as RGB or gray") from error


def is_deep(picture: Image) -> bool:
    """Whether a gray picture has more than 8 bits a pixel; pillow would clip it to 255 when it converts it."""
    return picture.mode[0] in "IF"


def eight_bits(picture: Image, file: str | Path) -> Image:
    """A deep picture with 8 bits a pixel: its lowest value becomes black, its highest white. Others stay as they are.

    Raises:
        ValueError: when a value is NaN or infinite; the message names the file.
    """
    if not is_deep(picture):
        return picture
    from PIL import Image

    try:
        values = np.asarray_chkfinite(picture, dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{file}: pixels are NaN or infinite; repair the picture or leave it out") from error
    low, high = values.min(), values.max()
    return Image.fromarray(np.rint(255 * (values - low) / ((high - low) or 1)).astype(np.uint8))


def _opened(file: str | Path) -> tuple[Image, BinaryIO]:
    """The picture before it is decoded, and what it is read from."""
    need(str(file), "pictures", "PIL")
    from PIL import Image

    stream = open_file(file)  # given a name, pillow 13 garbles the rows of a plain TIFF that is to be turned
    try:
        stream = _without_text(stream)
        return Image.open(stream, formats=FORMATS), stream
    except Exception as error:  # each format has its own
        stream.close()
        raise _unreadable(file, error) from error


def _unreadable(file: str | Path, error: Exception) -> ValueError:
    from PIL import Image

    if isinstance(error, Image.DecompressionBombError):
        return ValueError(
            f"{file}: too large to be read as a picture ({error}); shrink or crop it, or raise "
            "PIL.Image.MAX_IMAGE_PIXELS where you trust the file"
        )
    if isinstance(error, Image.UnidentifiedImageError):
        error = ValueError("it is none of PNG, JPEG, BMP, TIFF, WebP")
    return ValueError(f"{file}: cannot be read as a picture ({error}); check that the file is whole")


def _without_text(stream: BinaryIO) -> BinaryIO:
    """A PNG file without its texts and color profile, its pixels checked by their checksums; others as they are."""
    start = stream.read(len(PNG))
    stream.seek(0)
    if start != PNG:
        return stream
    with stream:
        content = memoryview(stream.read())
    kept, place = [content[: len(PNG)]], len(PNG)
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        chunk = content[place : place + 12 + length]
        checked = kind == b"IDAT" and len(chunk) == 12 + length  # pillow does not; one that is cut off it refuses
        if checked and zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise ValueError("the checksum of its pixels is wrong")
        if kind not in NOT_PIXELS:
            kept.append(chunk)
        place += len(chunk)
        if kind == b"IEND":
            break
    return io.BytesIO(b"".join(kept))


def _orientation(picture: Image) -> int:
    try:
        found = picture.getexif().get(ORIENTATION, UPRIGHT)
    except Exception:  # EXIF that cannot be read says nothing
        return UPRIGHT
    return found if found in range(2, 9) else UPRIGHT


def _fault(picture: Image) -> str | None:
    """What the header says that pillow would pass over."""
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # a photograph of a telephone and its preview
        return f"expected one picture, found {frames} pages or frames; write each to a file of its own"
    if min(picture.size) < 1:
        return f"a picture of {picture.size[0]} x {picture.size[1]} pixels; leave it out"
    tags = getattr(picture, "tag_v2", {})
    rawmodes = [str(tile[3]) for tile in getattr(picture, "tile", ())]
    sixteen = picture.format == "PNG" and any(";16" in mode for mode in rawmodes)
    if len(picture.getbands()) > 1 and (sixteen or max(tags.get(BITS, (8,))) > 8):
        return (
            "color or transparency with 16 bits a channel, of which pillow keeps the upper 8; save it as gray, or with "
            "8 bits a channel"
        )
    return _fault_of_tiff(picture, tags) if picture.format == "TIFF" else None


def _fault_of_tiff(picture: Image, tags: Any) -> str | None:
    if tags.get(WHITE_IS) == 0 and picture.mode not in ("1", "L"):
        return "white is 0 (MinIsWhite) in a picture of more than 8 bits; save it with black as 0"
    if picture.mode == "L" and 2 in tags.get(SAMPLE_FORMAT, ()):
        return "signed numbers of 8 bits; save it with 16 bits, or as unsigned numbers"
    if picture.mode in ("I", "F") and tags.prefix == b"MM" and tags.get(COMPRESSION, 1) != 1:
        return "compressed big-endian numbers, whose bytes pillow confuses; save it without compression"
    return None


def _fault_of_numbers(picture: Image) -> str | None:
    unsigned = 1 in getattr(picture, "tag_v2", {}).get(SAMPLE_FORMAT, (1,))
    if picture.format == "TIFF" and picture.mode == "I" and unsigned and np.asarray(picture).min() < 0:
        return "numbers of 2147483648 or more, which pillow turns negative; save it with 16 bits or as float"
    return None

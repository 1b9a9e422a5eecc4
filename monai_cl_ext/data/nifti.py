# SPDX-License-Identifier: Apache-2.0
"""Reads a NIfTI file: all of its bytes once, checksum included, with one sentence for whatever is wrong with it."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from monai.data import NibabelReader
from monai.data.utils import correct_nifti_header_if_necessary

from monai_cl_ext.data.opening import open_file

GZIP = b"\x1f\x8b"
HEADER_BYTES = 540  # of NIfTI-2, the longer of the two headers
HEADER_BEGINS = tuple(length.to_bytes(4, order) for length in (348, 540) for order in ("little", "big"))
MOST_TIMES_SMALLER = 1040  # deflate makes nothing smaller than a 1032nd
CHUNK = 1 << 20
MILLIMETERS = {"meter": 1e3, "mm": 1.0, "micron": 1e-3}
AGAIN = "copy or download it again, or leave it out"

# How files begin that are often found under the name of a volume: what they are, and what to do.
KINDS = (
    (b"version https://git-lfs", "a pointer of Git LFS in place of the volume", "fetch the volume with git lfs pull"),
    (b"/annex/objects/", "a pointer of git-annex in place of the volume", "fetch the volume with git annex get"),
    (GZIP, "a gzip file without .gz at the end of its name", "rename it to end in .nii.gz"),
    (b"\x89PNG", "a PNG picture", "convert it to NIfTI"),
    (b"\xff\xd8\xff", "a JPEG picture", "convert it to NIfTI"),
    (b"PK\x03\x04", "a zip archive", "unpack it"),
    (b"<", "a web page or XML", "download the volume again; the server may ask for a login"),
)


class CheckedNibabelReader(NibabelReader):
    """MONAI's reader of NIfTI on top of :func:`read_nifti`."""

    def read(self, data: Sequence[Any] | Any, **kwargs: Any) -> Any:
        """The image of a path, or a list of them for several paths."""
        self.filenames = (data,) if isinstance(data, (str, Path)) else tuple(data)
        images = [read_nifti(name) for name in self.filenames]
        return images if len(images) > 1 else images[0]


def read_nifti(path: str | Path) -> nib.Nifti1Image:
    """The volume of a ``.nii`` or ``.nii.gz`` file, held in memory, with one sense of its header.

    Lengths are in mm, whatever unit the header has; one without a unit is taken to be in mm. Where sform, qform and
    pixdim contradict each other, MONAI's ``correct_nifti_header_if_necessary`` chooses. Axes of length one behind the
    third are left out.

    Args:
        path: of a NIfTI-1 or NIfTI-2 file whose name tells whether it is compressed.

    Raises:
        FileNotFoundError, PermissionError, OSError: when it cannot be opened, see :func:`open_file`.
        ValueError: when it is no NIfTI file, is cut off or damaged, when its checksum is wrong, when its header is not
            valid or promises more voxels than there are, or when voxels are no single numbers. The message names the
            file, what was found, and a remedy.
    """
    with open_file(path) as file:
        try:
            return _read(file, path)
        except MemoryError as error:
            raise ValueError(
                f"{path}: its voxels do not fit into memory; close other programs, or check that the header is right"
            ) from error
        except (EOFError, zlib.error, OSError) as error:
            raise ValueError(f"{path}: the file is cut off or damaged ({error}); {AGAIN}") from error


def _read(file: BinaryIO, path: str | Path) -> nib.Nifti1Image:
    size, start = os.fstat(file.fileno()).st_size, file.read(HEADER_BYTES)
    packed = str(path).lower().endswith(".gz")
    if packed != start.startswith(GZIP):
        raise _no_nifti(start, path, packed)
    file.seek(0)
    stream: Any = gzip.GzipFile(fileobj=file) if packed else file
    start = stream.read(HEADER_BYTES)
    image_class = _image_class(start)
    if image_class is None:
        raise _no_nifti(start, path, packed)
    header = image_class.header_class(start[: image_class.header_class.sizeof_hdr], check=False)
    promised, told = _promised_bytes(header, path)
    stream.seek(0)
    if promised > size * (MOST_TIMES_SMALLER if packed else 1):
        raise ValueError(f"{path}: its header promises {told}, which a file of {size} bytes cannot hold; {AGAIN}")
    content = stream.read(promised)
    while stream.read(CHUNK):  # the checksum stands at the end
        pass
    if len(content) < promised:
        raise ValueError(f"{path}: its header promises {told}, found {len(content)} bytes; {AGAIN}")
    try:
        image = image_class.from_bytes(content)
    except MemoryError:
        raise
    except Exception as error:  # nibabel has no type for all that can be wrong with a header
        raise ValueError(f"{path}: its header is not valid ({error}); write the file again, or leave it out") from error
    if not np.isfinite(image.affine).all():
        raise ValueError(f"{path}: its header places voxels at NaN or infinity; repair its sform and qform")
    image = correct_nifti_header_if_necessary(_without_last_axes(_in_millimeters(image)))
    if np.linalg.matrix_rank(image.affine[:3, :3]) < 3:
        raise ValueError(f"{path}: its header gives voxels no volume (spacing 0); repair its sform, qform and pixdim")
    return image


def _in_millimeters(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """The volume with its header's lengths in mm."""
    header = image.header
    factor = MILLIMETERS.get(header.get_xyzt_units()[0], 1.0)
    if factor == 1.0:
        return image
    for row in ("srow_x", "srow_y", "srow_z"):
        header[row] *= factor
    for place in ("qoffset_x", "qoffset_y", "qoffset_z"):
        header[place] *= factor
    header["pixdim"][1:4] *= factor
    header.set_xyzt_units("mm", header.get_xyzt_units()[1])
    return type(image)(image.dataobj, header.get_best_affine(), header)


def _without_last_axes(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """The volume without axes of length one behind the third; ITK and ANTs write one before the channels, too."""
    shape = (*image.shape[:3], *(length for length in image.shape[3:] if length > 1))
    if shape == image.shape:
        return image
    header = image.header.copy()
    header.set_data_shape(shape)
    return type(image)(image.dataobj.reshape(shape), image.affine, header)


def _image_class(start: bytes) -> Any:
    """The class of nibabel for the header that a file begins with, or None."""
    classes = (nib.Nifti1Image, nib.Nifti2Image)
    return next((found for found in classes if found.header_class.may_contain_header(start)), None)


def _promised_bytes(header: Any, path: str | Path) -> tuple[int, str]:
    """How long the file has to be by its header, and the same in words.

    Raises:
        ValueError: when the header has no size, no place or no type for voxels that are single numbers.
    """
    try:
        shape, offset = header.get_data_shape(), header.get_data_offset()
    except Exception as error:  # whatever damaged numbers lead to
        raise ValueError(f"{path}: its header is not valid ({error}); {AGAIN}") from error
    shape = tuple(int(length) for length in shape)
    if not 1 <= len(shape) <= 7 or min(shape) < 1:
        raise ValueError(
            f"{path}: its header gives the volume the size {shape}, expected one to seven positive lengths; {AGAIN}"
        )
    if offset < header.sizeof_hdr:
        raise ValueError(
            f"{path}: its header places the voxels at byte {offset}, inside the header itself, as that of an .hdr file "
            "does; join header and image into one file (nibabel, fslchfiletype), or leave it out"
        )
    try:
        dtype = header.get_data_dtype()
    except Exception:  # a KeyError, by the table that is looked up
        dtype = np.dtype("V0")  # as of the codes that NIfTI has for no type at all
    if not dtype.itemsize:
        code = int(header["datatype"])
        raise ValueError(
            f"{path}: its header names the unknown data type {code}; write the file again, or leave it out"
        )
    if dtype.kind not in "iuf":
        colors = "".join(dtype.names or ())  # RGB or RGBA
        found = "complex numbers" if dtype.kind == "c" else f"{colors} colors" if colors else str(dtype)
        raise ValueError(
            f"{path}: its voxels are {found}, expected one real number each; write the magnitude, or each channel, to "
            "a file of its own"
        )
    promised = offset + math.prod(shape) * dtype.itemsize
    return promised, f"{promised} bytes for a volume {shape} of {dtype.name}"


def _no_nifti(start: bytes, path: str | Path, packed: bool) -> ValueError:
    """The error of a file that is something else than its name tells."""
    if packed and _image_class(start) is not None:
        found, remedy = "a NIfTI file that is not compressed", "rename it to end in .nii"
    elif packed and start.startswith(GZIP):
        found, remedy = "a file that was compressed twice", "unpack it once"
    else:
        found, remedy = next((kind[1:] for kind in KINDS if start.startswith(kind[0])), _unknown(start))
    return ValueError(f"{path}: expected a {'compressed ' if packed else ''}NIfTI file, found {found}; {remedy}")


def _unknown(start: bytes) -> tuple[str, str]:
    line = start.splitlines()[0][:40] if start.strip() else b""
    if b".git/annex/objects/" in start:
        return KINDS[1][1:]
    if start[:4] in HEADER_BEGINS:
        return f"{len(start)} bytes that begin a header", AGAIN
    if start[128:132] == b"DICM":
        return "a DICOM file", "convert the series to NIfTI, or give the folder of the series"
    if line.isascii() and line.decode("ascii").isprintable():
        return f"text that begins with {line.decode('ascii')!r}", AGAIN
    return "other bytes", f"convert it to NIfTI, or {AGAIN}"

# SPDX-License-Identifier: Apache-2.0
"""Volumes that are damaged in the ways that users' files are: each kind writes a file and names what must be said."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np

SHAPE = (24, 24, 8)


class Bad(NamedTuple):
    """A kind of bad file."""

    write: Callable[[Path], None]
    found: str  # regular expressions
    remedy: str
    suffix: str = ".nii.gz"


def voxels(seed=0, shape=SHAPE):
    return (np.random.default_rng(seed).random(shape) * 200).astype(np.int16)


def plain(seed=0, shape=SHAPE, **fields) -> bytes:
    """A NIfTI file; fields of its header are set whatever they break."""
    content = nib.Nifti1Image(voxels(seed, shape), np.eye(4)).to_bytes()
    header = nib.Nifti1Header(content[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock + content[348:]


def changed(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place:][1:]


def write(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content)


def save(array: np.ndarray) -> Callable[[Path], None]:
    return lambda path: nib.save(nib.Nifti1Image(array, np.eye(4)), path)


PACKED = gzip.compress(plain(), mtime=0)
STORED = gzip.compress(plain(), compresslevel=0, mtime=0)  # a flipped bit changes voxels, and nothing but the checksum
AGAIN = "copy or download it again"
RGB = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])

BAD = {
    "missing": Bad(lambda path: None, "no such file", "restore it"),
    "folder": Bad(Path.mkdir, "a folder", "give the file"),
    "dead link": Bad(lambda path: path.symlink_to("away.nii.gz"), "a link to away", "git annex get"),
    "link to itself": Bad(lambda path: path.symlink_to(path.name), "leads back to itself", "remove it"),
    "pipe": Bad(os.mkfifo, "a pipe", "give a file"),
    "empty": Bad(Path.touch, "empty", AGAIN),
    "truncated .nii.gz": Bad(write(PACKED[: len(PACKED) // 2]), "cut off", AGAIN),
    "truncated trailer": Bad(write(PACKED[:-3]), "cut off", AGAIN),
    "truncated header": Bad(write(plain()[:200]), "200 bytes that begin a header", AGAIN, ".nii"),
    "truncated .nii": Bad(write(plain()[:3000]), "promises 9568 bytes.*3000", AGAIN, ".nii"),
    "flipped voxel": Bad(write(changed(STORED, 5000)), "damaged.*CRC", AGAIN),
    "flipped checksum": Bad(write(changed(PACKED, len(PACKED) - 6)), "damaged.*CRC", AGAIN),
    "bytes behind": Bad(write(PACKED + b"more"), "damaged", AGAIN),
    "not compressed": Bad(write(plain()), "not compressed", r"end in \.nii$"),
    "compressed": Bad(write(PACKED), "a gzip file", r"end in \.nii\.gz", ".nii"),
    "git-lfs pointer": Bad(
        write(b"version https://git-lfs.github.com/spec/v1\n"), "pointer of Git LFS", "git lfs pull"
    ),
    "git-annex pointer": Bad(write(b"/annex/objects/MD5E-s22--1.nii.gz\n"), "pointer of git-annex", "git annex get"),
    "text": Bad(write(b"no volume\n" * 99), "text that begins with 'no volume'", AGAIN, ".nii"),
    "web page": Bad(write(b"<!DOCTYPE html><html>"), "a web page", "download the volume again"),
    "picture": Bad(write(b"\x89PNG\r\n\x1a\n" + bytes(999)), "a PNG picture", "convert it"),
    "negative size": Bad(write(plain(dim=[3, 24, -24, 8, 1, 1, 1, 1])), r"size \(24, -24, 8\)", AGAIN, ".nii"),
    "huge size": Bad(
        write(gzip.compress(plain(dim=[3, 32000, 32000, 32000, 1, 1, 1, 1]))),
        r"65536000000352 bytes.*cannot hold",
        AGAIN,
    ),
    "more than there is": Bad(
        write(gzip.compress(plain(dim=[3, 24, 24, 99, 1, 1, 1, 1]))), "promises 114400 bytes.*found 9568", AGAIN
    ),
    "unknown data type": Bad(write(plain(datatype=9999)), "unknown data type 9999", "write the file again", ".nii"),
    "no place for voxels": Bad(write(plain(vox_offset=np.nan)), "header is not valid", AGAIN, ".nii"),
    "half of a pair": Bad(write(plain(vox_offset=0, magic=b"ni1")), "as that of an .hdr file", "into one file", ".nii"),
    "complex": Bad(save(voxels().astype(np.complex64)), "complex numbers", "magnitude"),
    "colors": Bad(save(RGB), "RGB colors", "each channel"),
}

CHANNELS = Bad(save(voxels(shape=(*SHAPE, 2))), r"found 2 channel\(s\), expected 1;", "give --in_channels 2")
LABEL_CHANNELS = CHANNELS._replace(found="one channel and three axes, found 2", remedy="the numbers of the classes")
"""No faults of a file: refused where a number of channels is asked for."""


def refuse_to_open(module, path: str, monkeypatch) -> None:
    """As if the file might not be read; root may read every file."""

    def opened(place, mode):
        if str(place) == path:
            raise PermissionError(13, "Permission denied", path)
        return open(place, mode)

    monkeypatch.setattr(module, "open", opened, raising=False)

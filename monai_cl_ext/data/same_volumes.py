# SPDX-License-Identifier: Apache-2.0
"""Finds patients that have the same volume under different names."""

from __future__ import annotations

import gzip
import hashlib
import os
import warnings
import zlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from monai_cl_ext.data.file_names import image_file
from monai_cl_ext.data.nifti import CHUNK, GZIP
from monai_cl_ext.data.opening import open_file
from monai_cl_ext.names import first_names

SAMPLE = 1 << 16
SHOWN = 3


def warn_of_same_volumes(cases: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """One warning that names the patients and files of equal volumes; files that cannot be read are passed over.

    Args:
        cases: dictionaries with "image", "patient" and, of pictures, "class_name".

    Returns:
        For each patient the first one, by the order of cases, that it shares a volume with, directly or by way of
        others: itself where it shares none.
    """
    first = {case["patient"]: case["patient"] for case in cases}
    found = [
        group for group in same_volumes(cases) if len({(case["patient"], case.get("class_name")) for case in group}) > 1
    ]
    for group in found:
        joined = {first[case["patient"]] for case in group}
        head = next(patient for patient in first if patient in joined)
        first = {patient: head if other in joined else other for patient, other in first.items()}
    if found:
        names = first_names((" and ".join(map(_named, group[:SHOWN])) for group in found), SHOWN, "; ")
        warnings.warn(
            f"patients with the same image: {names}. It counts twice; a draw keeps these patients on one side, "
            "but by lists of patients it may be trained and tested on; remove one, or give both the same patient",
            stacklevel=3,
        )
    return first


def _named(case: Mapping[str, Any]) -> str:
    shown = ", ".join([Path(image_file(case)).name, *([case["class_name"]] if case.get("class_name") else [])])
    return f"{case['patient']!r} ({shown})"


def same_volumes(cases: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Groups of cases whose files have the same content, compressed or not, in the order of the cases.

    Of a volume whose channels lie in several files, the first is compared.
    Only suspects are read whole: the end of a gzip file tells length and checksum of what is in it.
    """
    owners: dict[str, list[Mapping[str, Any]]] = {}
    for case in cases:
        owners.setdefault(image_file(case), []).append(case)
    groups: list[list[str]] = []
    for alike in _grouped(owners, _length):
        packed = any(_tried(path, _is_packed) for path in alike)
        for suspects in _grouped(alike, partial(_mark, whole=packed)):
            groups += _grouped(suspects, _hash)
    grouped = {path for group in groups for path in group}
    groups += [[path] for path, listed in owners.items() if len(listed) > 1 and path not in grouped]
    return [[case for path in group for case in owners[path]] for group in groups]


def _grouped(paths: Iterable[str], key: Callable[[BinaryIO], Hashable]) -> list[list[str]]:
    """The paths whose files have a key in common; a file that is alone or cannot be read is left out."""
    groups: dict[Hashable, list[str]] = {}
    for path in paths:
        groups.setdefault(_tried(path, key), []).append(path)
    return [group for found, group in groups.items() if found is not None and len(group) > 1]


def _tried(path: str, look: Callable[[BinaryIO], Hashable]) -> Hashable:
    """What ``look`` finds in a file, or None where it cannot be read: whoever reads the volume will say why."""
    try:
        with open_file(path) as file:
            return look(file)
    except (OSError, ValueError, EOFError, zlib.error):
        return None


def _is_packed(file: BinaryIO) -> bool:
    packed = file.read(len(GZIP)) == GZIP
    file.seek(0)
    return packed


def _trailer(file: BinaryIO) -> tuple[int, int]:
    """Checksum and length of the content of a gzip file, as its last eight bytes give them."""
    file.seek(-8, os.SEEK_END)
    end = file.read()
    return int.from_bytes(end[:4], "little"), int.from_bytes(end[4:], "little")


def _length(file: BinaryIO) -> Hashable:
    """Of the content, modulo 2^32 as gzip counts it."""
    size = os.fstat(file.fileno()).st_size
    if not _is_packed(file):
        return size % 2**32
    length = _trailer(file)[1]
    return length or ("of bgzip, which ends in an empty part", size)


def _mark(file: BinaryIO, whole: bool) -> Hashable:
    """The checksum of the content; of a plain file without ``whole``, of samples of it."""
    if _is_packed(file):
        return _trailer(file)[0]
    size, checksum = os.fstat(file.fileno()).st_size, 0
    if whole:
        while chunk := file.read(CHUNK):
            checksum = zlib.crc32(chunk, checksum)
        return checksum
    for place in (0, size // 2, max(size - SAMPLE, 0)):
        file.seek(place)
        checksum = zlib.crc32(file.read(SAMPLE), checksum)
    return checksum


def _hash(file: BinaryIO) -> Hashable:
    stream: Any = gzip.GzipFile(fileobj=file) if _is_packed(file) else file
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()

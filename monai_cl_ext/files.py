# SPDX-License-Identifier: Apache-2.0
"""Atomic writes: a file is complete or as it was, whatever becomes of the process that writes it."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import platform
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint

from monai_cl_ext.finite import check_finite
from monai_cl_ext.names import first_names

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TEMPORARY = re.compile(r"\.(?P<target>.+)\.(?P<machine>[0-9a-f]{8})\.(?P<process>[0-9]{1,9})", re.DOTALL)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``, which replaces it when the block ends and is removed when the block fails.

    Its name holds the machine and the number of the process: the next write of ``path`` removes what a killed process
    of this machine left behind, and leaves alone what a living one is writing, or any of another machine.

    Raises:
        OSError: when it cannot be written; the file is as it was.
    """
    temporary = temporary_path(path)
    try:
        remove_leftovers(path.parent, re.escape(path.name))
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        remedy = "free space and run again" if error.errno in FULL else "give a folder that is there and writable"
        sentence = f"{error.strerror}: nothing of it was written; {remedy}"
        raise OSError(error.errno, sentence, str(path)) from error


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside ``path``, which becomes it when the block ends and is removed when the block fails.

    ``path`` may not be there yet. Two processes must not write it at once; what a killed one leaves behind, beside it
    and with a dot before its name, is for the caller to remove.

    Raises:
        OSError: when it cannot be made; there is no folder then.
    """
    temporary = temporary_path(path)
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that had the same number
    try:
        temporary.mkdir()
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_path(path: Path) -> Path:
    """Where this process writes what becomes ``path``: beside it, with a dot before its name."""
    return path.with_name(f".{path.name}.{_machine()}.{os.getpid()}")


def remove_leftovers(folder: Path, names: str) -> None:
    """Removes the temporary files that killed processes of this machine, or container, left in a folder.

    Args:
        folder: where the files were to be written; nothing is done when it is missing.
        names: regular expression of the names of those files.
    """
    if folder.is_dir():
        for path in list(folder.iterdir()):
            found = TEMPORARY.fullmatch(path.name)
            left = found and found["machine"] == _machine() and re.fullmatch(names, found["target"])
            if found and left and not _lives_elsewhere(int(found["process"])):
                with suppress(OSError):  # one that cannot be removed is in nobody's way
                    path.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a text atomically.

    Raises:
        OSError: when it cannot be written; the file is as it was.
    """
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_tensors(path: Path, content: Any) -> None:
    """Saves tensors atomically by ``torch.save``, once they are found to be finite; the folder is made when missing.

    Args:
        path: file to write.
        content: a tensor, or nested mappings and lists of tensors and plain values.

    Raises:
        FloatingPointError: when a tensor holds NaN or infinity, see ``finite.check_finite``.
        ValueError: when an object could not be read back with ``weights_only=True``.
        OSError: when it cannot be written. In all three cases the file is as it was.
    """
    check_finite(path, content)
    write_tensors(path, content)


def write_tensors(path: Path, content: Any) -> None:
    """Saves tensors as :func:`save_tensors` does, whatever their values: records, which nothing goes on from.

    One process may call it alone; Ignite's DiskSaver, which waits for all processes when it is made, may not be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        with open(temporary, "wb") as file:
            try:
                torch.save(content, file)
            except RuntimeError as error:  # torch closes its archive after a failed write, and complains of that alone
                raise error.__context__ or error from None
        objects = get_unsafe_globals_in_checkpoint(temporary)
        if objects:
            raise ValueError(
                f"{path} was not written: it would hold {first_names(sorted(objects))}, which only code can read back;"
                " keep tensors, Python's numbers, text, lists and dictionaries"
            )


def load_tensors(path: Path) -> Any:
    """Loads what ``torch.save`` wrote, on the CPU and with ``weights_only=True``; checksums are verified.

    Raises:
        ValueError: when it is damaged, no such file, or holds objects.
    """
    try:
        if zipfile.is_zipfile(path):  # what torch wrote before its version 1.6 is not, and has no checksums
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()  # torch.load does not look
            if damaged:
                raise zipfile.BadZipFile(f"the checksum of {damaged} does not fit")
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes surface as any of a dozen classes
        raise ValueError(f"{path}: cannot be read as a checkpoint ({_cause(path, error)})") from error


def _cause(path: Path, error: Exception) -> str:
    """The objects in the file that were refused, or else the error; what torch says of the former is a page long."""
    if _is_torchscript(path):
        return "it is TorchScript: give the state_dict that it was exported from, in bundles model.pt"
    objects: list[str] = []
    with suppress(Exception):  # a damaged file
        objects = get_unsafe_globals_in_checkpoint(path)
    if objects:
        return f"it holds objects of {first_names(sorted(objects))}, which may run code"
    brief = isinstance(error, (OSError, zipfile.BadZipFile))
    return f"{type(error).__name__}: {error}" if brief else type(error).__name__


@functools.cache
def _machine() -> str:
    """Eight digits of the machine whose numbers of processes are those of this one; a container has its own."""
    numbers = ""
    with suppress(OSError):  # on Linux alone
        numbers = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()}\0{numbers}".encode()).hexdigest()[:8]


def _is_torchscript(path: Path) -> bool:
    """Whether the file is what ``torch.jit.save`` writes: as torch.load tells it, by its constants."""
    with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
    return False


def _lives_elsewhere(process: int) -> bool:
    """Whether this is the number of another living process; taken for granted where asking would end that process."""
    if process == os.getpid():
        return False
    if os.name == "posix":
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it lives, and is another user's
            return True
    return True

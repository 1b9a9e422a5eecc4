# SPDX-License-Identifier: Apache-2.0
"""Opens a file of a data set, or says in one sentence why that cannot be."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_file(path: str | Path) -> BinaryIO:
    """A regular file that holds something, opened to read its bytes.

    Raises:
        FileNotFoundError: when there is no such file, or a link leads to none.
        PermissionError: when it may not be read.
        ValueError: when it is empty, a folder, a pipe or a device.
        OSError: when the system cannot open it for another reason. Every message names the file and a remedy.
    """
    place = os.path.expanduser(str(path))
    if "\0" in place:
        raise FileNotFoundError(f"{place!r}: no name of a file, since it holds a null character; correct the path")
    try:
        status = os.stat(place)
        if stat.S_ISDIR(status.st_mode):
            raise ValueError(f"{place}: expected a file, found a folder; give the file that lies in it")
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{place}: expected a file, found a pipe or a device; give a file on disk")
        if not status.st_size:
            raise ValueError(f"{place}: the file is empty; copy or download it again, or leave it out")
        return open(place, "rb")
    except OSError as error:
        raise _explained(place, error) from error


def _explained(place: str, error: OSError) -> OSError:
    """The error with what was found at the place and a remedy."""
    if error.errno == errno.ELOOP:
        return FileNotFoundError(f"{place}: a link that leads back to itself; put the file in its place, or remove it")
    if isinstance(error, PermissionError):
        return PermissionError(f"{place}: may not be read; ask for permission to read the file and its folder")
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        if os.path.islink(place):
            return FileNotFoundError(
                f"{place}: a link to {os.readlink(place)}, where there is no file; fetch that file "
                "(git annex get, dvc pull), or remove the link"
            )
        return FileNotFoundError(f"{place}: found no such file; restore it, or correct the path")
    return OSError(f"{place}: cannot be opened ({error.strerror}); check the disk and the path")

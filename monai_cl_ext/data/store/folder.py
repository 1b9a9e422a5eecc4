# SPDX-License-Identifier: Apache-2.0
"""Where a store lies, and what lies where in it.

STORE/files/<path>                     a hash of the content of a file, by its path, size and time of change
STORE/locks/                           held by whoever prepares a volume
STORE/<settings>/settings.json         how the volumes below were prepared
STORE/<settings>/<content>/volume.json shape, spacing, files, warnings; <content> is a hash of the image, with a label
                                       followed by one of the label
                           image.npy   float16 (slices, C, H, W); one file, where the same is there without a label
                           label.npy   uint8 (slices, 1, H, W), where there is a label
                           superpixel_<settings>.npy   integers (slices, 1, H, W)
STORE/superpixels/<backend>.pt         weights of learned superpixels, unless they were given another place
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "MONAI_CL_EXT_STORE"
FILES, LOCKS, SETTINGS, VOLUME = "files", "locks", "settings.json", "volume.json"
KEY_DIGITS = 32


def default_store() -> str:
    """The folder of the store: the environment's ``MONAI_CL_EXT_STORE``, or monai_cl_ext in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.environ.get(VARIABLE) or os.path.join(cache, "monai_cl_ext")


def superpixel_weights(backend: str) -> str:
    """The file in the store of the weights of a learned backend of superpixels, where none other is named."""
    return os.path.join(default_store(), "superpixels", f"{backend}.pt")


def store_folder(folder: str | Path) -> Path:
    """The folder of a store, made when missing.

    Raises:
        ValueError: when it is no path, or a file is there.
        OSError: when it cannot be made.
    """
    if not isinstance(folder, (str, Path)):
        raise ValueError(f"store must be a folder, or None to keep volumes in memory, found {folder!r}")
    path = Path(folder).expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ValueError(f"store {path}: expected a folder, found a file; give another folder") from error
    except OSError as error:
        raise refused(error, path) from error
    return path


def refused(error: OSError, store: Path) -> OSError:
    """The error with the store, and what to do."""
    sentence = (
        f"{error.strerror}: the store of prepared volumes is incomplete, what it has is whole; free space, or give "
        f'another folder as store or as {VARIABLE}, or the store "" to keep volumes in memory'
    )
    return OSError(error.errno, sentence, str(store))

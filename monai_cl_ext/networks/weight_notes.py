# SPDX-License-Identifier: Apache-2.0
"""Notes in the weights themselves: decoder blocks that were pre-trained, marks and axes of the images trained on.

A note stands beside the versions of modules that torch keeps in every state_dict, so it travels with the file, whatever
its name, and ``load_state_dict`` of any network passes it over.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from monai_cl_ext.networks.checkpoint import read_state

BLOCKS, IMAGES, AXES = "trained_blocks", "trained_images", "trained_axes"

WeightFiles: TypeAlias = str | Path | Sequence[str | Path | None] | None


def note_trained_blocks(state: Any, blocks: int) -> None:
    """Notes in a state_dict, an OrderedDict, how many decoder blocks, from the bottleneck, were pre-trained."""
    _note(state, BLOCKS, blocks)


def noted_trained_blocks(state: Any) -> int:
    """The number that was noted in a state_dict; 0 where nothing was."""
    return int(_noted(state, BLOCKS, 0))


def note_trained_images(state: Any, marks: Sequence[str]) -> None:
    """Notes in a state_dict by which marks the images are known that its network was trained on."""
    _note(state, IMAGES, list(marks))


def noted_trained_images(state: Any) -> set[str]:
    """The marks that were noted in a state_dict; none where nothing was."""
    return set(_noted(state, IMAGES, ()))


def note_trained_axes(state: Any, axes: Sequence[str]) -> None:
    """Notes in a state_dict in which directions the axes of the images run that its network was trained on."""
    _note(state, AXES, list(axes))


def noted_trained_axes(state: Any) -> list[str]:
    """The directions that were noted in a state_dict, such as ["RAS"]; none where nothing was."""
    return list(_noted(state, AXES, ()))


def weight_files(weights: WeightFiles) -> list[str]:
    """The files of an argument that names one or several; an empty name is none."""
    return [str(path) for path in (weights if isinstance(weights, (list, tuple)) else [weights]) if path]


def images_noted_in(weights: WeightFiles) -> set[str]:
    """The marks that were noted in a file or files; none where there is no file, or it holds no state_dict."""
    return {mark for path in weight_files(weights) for mark in _read(path, _changed(path))}


def _changed(path: str) -> int:
    with suppress(OSError):
        return os.stat(path).st_mtime_ns
    return 0


@lru_cache(maxsize=8)
def _read(path: str, changed: int) -> frozenset[str]:
    """What a file notes, read once as long as it was not changed; what loads the weights says what is wrong with it."""
    with suppress(OSError, ValueError, ImportError):
        return frozenset(noted_trained_images(read_state(path)))
    return frozenset()


def _note(state: Any, entry: str, value: Any) -> None:
    vars(state).setdefault("_metadata", {}).setdefault("", {})[entry] = value


def _noted(state: Any, entry: str, absent: Any) -> Any:
    return getattr(state, "_metadata", {}).get("", {}).get(entry, absent)

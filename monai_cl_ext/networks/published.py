# SPDX-License-Identifier: Apache-2.0
"""Published weights under the names of a network, fitted to its channels and image size."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from monai_cl_ext.arguments import one_of
from monai_cl_ext.networks.checkpoint import equal_tensors, read_content, refuse_not_finite
from monai_cl_ext.networks.presets import PRESETS, Preset
from monai_cl_ext.networks.presets.adapting import inflated, repositioned
from monai_cl_ext.networks.presets.file_names import Found


@dataclass
class Published:
    """Published weights that go into a network.

    Attributes:
        state: the tensors, by the network's names.
        filled: the network's names of all that these weights should hold.
        remedy: what to look at when they do not fit.
        left_out: what the network has no use for, by published names.
        inflated: first convolutions that were changed to the network's channels.
        interpolated: position embeddings that were changed to the network's grid.
        notes: what else was changed.
        differences: what the network computes otherwise.
    """

    state: dict[str, Tensor]
    filled: set[str]
    remedy: str
    left_out: list[str]
    inflated: list[str] = field(default_factory=list)
    interpolated: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def published_weights(net: nn.Module, path_or_state: str | Path | Mapping[str, Any], name: str) -> Published:
    """Reads published weights by a preset and fits them to a network, which is left as it is.

    Args:
        net: one that the preset knows.
        path_or_state: checkpoint file, or what it holds.
        name: of the preset.

    Raises:
        FileNotFoundError, ImportError: see :func:`~monai_cl_ext.networks.checkpoint.read_content`.
        TypeError: when the preset does not know the class of ``net``.
        ValueError: when there is no such preset, the file cannot be read or is of another kind, or it holds NaN or
            infinity, or a tensor that the network has no place for.
    """
    preset = PRESETS[one_of("preset", name, PRESETS)]
    prefix = _prefix(net, preset, name)
    content, where = read_content(path_or_state)
    found = _found(content, where, name)
    refuse_not_finite(where, found.tensors)
    tensors, notes = preset.converted(found.tensors)
    state = _renamed(tensors, preset, prefix, where)
    own = net.state_dict()
    absent = [prefix + optional for optional in preset.optional if prefix + optional in state.keys() - own.keys()]
    result = Published(
        state={name: tensor for name, tensor in state.items() if name not in absent},
        filled=_filled(own, state, preset, prefix),
        remedy=preset.remedy,
        left_out=[*found.left_out, *absent],
        notes=notes,
        differences=preset.differences(net),
    )
    surplus = sorted(result.state.keys() - own.keys())
    if surplus:
        raise ValueError(
            f"{where}: {len(surplus)} tensors have no place in this {type(net).__name__}, such as {surplus[:4]}:"
            f" {preset.remedy}"
        )
    _fit_channels(result, own, preset, prefix)
    if preset.positions is not None:
        _fit_positions(result, prefix + preset.positions.name, preset.positions.grid(net), where)
    return result


def _prefix(net: nn.Module, preset: Preset, name: str) -> str:
    for kind, prefix in preset.networks.items():
        if isinstance(net, kind):
            return prefix
    known = ", ".join(kind.__name__ for kind in preset.networks)
    raise TypeError(
        f"preset {name!r} is for {known}, found {type(net).__name__}: take such a network (an overlay with a"
        " network_def in a bundle), or another preset"
    )


def _found(content: Any, where: str, name: str) -> Found:
    """The tensors of a file of the preset's kind; else says what was found, and of which kind it is."""
    try:
        found = PRESETS[name].file.find(content, where)
    except ValueError as error:
        raise ValueError(f"{error}; {_advice(content, where, name)}") from error
    if not found.fits:
        names = [*found.tensors, *found.unknown, *found.left_out]
        raise ValueError(
            f"{where} is no file of preset {name!r}: lacking are {found.lacking}, without a place are"
            f" {found.unknown[:6]} ({len(found.unknown)} in all), found are {len(names)} tensors such as {names[:3]};"
            f" {_advice(content, where, name)}. For a file with the network's own names leave preset out"
        )
    return found


def _advice(content: Any, where: str, name: str) -> str:
    fitting = []
    for other in PRESETS.keys() - {name}:
        with suppress(ValueError):
            if PRESETS[other].file.find(content, where).fits:
                fitting.append(repr(other))
    return f"it fits preset {' and '.join(sorted(fitting))}" if fitting else "no other preset fits it"


def _renamed(tensors: Mapping[str, Tensor], preset: Preset, prefix: str, where: str) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        own = prefix + str(preset.file.renamed(name))
        if own in state and not equal_tensors(state[own], tensor):
            raise ValueError(
                f"{where}: {name!r} is the second tensor for {own!r}, with other values: the file is damaged"
            )
        state[own] = tensor
    return state


def _filled(own: Mapping[str, Tensor], state: Mapping[str, Tensor], preset: Preset, prefix: str) -> set[str]:
    """The network's names in all the parts of which the file holds a tensor."""
    parts = {name: _part(name, preset, prefix) for name in own}
    held = {_part(name, preset, prefix) for name in state} - {None}
    return {name for name, part in parts.items() if part in held}


def _part(name: str, preset: Preset, prefix: str) -> tuple[Any, ...] | None:
    """Which of the preset's patterns a name fits, with its groups."""
    for pattern in preset.fills if name.startswith(prefix) else ():
        match = re.fullmatch(pattern, name[len(prefix) :])
        if match:
            return (pattern, *match.groups())
    return None


def _fit_channels(result: Published, own: Mapping[str, Tensor], preset: Preset, prefix: str) -> None:
    for name, tensor in result.state.items():
        wanted = own[name].shape
        if (
            re.fullmatch(preset.first, name.removeprefix(prefix))
            and tensor.shape[:1] + tensor.shape[2:] == wanted[:1] + wanted[2:]
            and tensor.shape[1] != wanted[1]
        ):
            result.state[name] = inflated(tensor, wanted[1])
            result.inflated.append(f"{name} from {tensor.shape[1]} to {wanted[1]} channels")


def _fit_positions(result: Published, name: str, grid: Sequence[int] | None, where: str) -> None:
    if grid is None or result.state[name].ndim != 3:
        return
    try:
        result.state[name], change = repositioned(result.state[name], grid)
    except ValueError as error:
        raise ValueError(f"{where}: {error}; {result.remedy}") from error
    if change:
        result.interpolated.append(f"{name} {change}")

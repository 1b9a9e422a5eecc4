# SPDX-License-Identifier: Apache-2.0
"""How a kind of published weights goes into a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from monai_cl_ext.networks.presets.file_names import NONE, FileNames, State


def _unchanged(tensors: State) -> tuple[State, list[str]]:
    return tensors, []


def _alike(network: nn.Module) -> list[str]:
    return []


@dataclass(frozen=True)
class Positions:
    """Position embeddings of a grid.

    Attributes:
        name: the network's name of them.
        grid: patches along each axis of the network's images, None where it keeps none.
    """

    name: str
    grid: Callable[[nn.Module], Sequence[int] | None]


@dataclass(frozen=True)
class Preset:
    """How a kind of published weights goes into a network.

    Attributes:
        file: the names in the file.
        networks: classes of networks that take these weights, and what stands before the published network's own
            names in each.
        fills: patterns of the network's names that the weights fill, without what stands before them. Where a file has
            one tensor of a pattern, it has to have all of it; where a pattern has groups, all with the same groups.
        remedy: what to look at when file and network do not fit.
        first: pattern of the network's names of the weights of the first convolutions, whose channels may differ.
        positions: position embeddings, whose grid may differ.
        optional: names that some of the networks lack; their tensors are left out there.
        converted: changes the published tensors, and says what was done.
        differences: what a network computes otherwise than the published one, though all tensors fit.
    """

    file: FileNames
    networks: Mapping[type[nn.Module], str]
    fills: tuple[str, ...]
    remedy: str
    first: str = NONE
    positions: Positions | None = None
    optional: tuple[str, ...] = field(default=())
    converted: Callable[[State], tuple[State, list[str]]] = _unchanged
    differences: Callable[[nn.Module], list[str]] = _alike

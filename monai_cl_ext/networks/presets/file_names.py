# SPDX-License-Identifier: Apache-2.0
"""How a kind of published file names its tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from monai_cl_ext.names import first_names
from monai_cl_ext.networks.checkpoint import WRAPPERS, WRAPPINGS, equal_tensors, unwrapped

State = dict[str, Tensor]
NONE = "(?!)"  # fits no name
PREFIXES = tuple(prefix for prefix in WRAPPERS if prefix != "encoder.")


@dataclass(frozen=True)
class Found:
    """What a file holds, seen by one kind of published files.

    Attributes:
        tensors: those that belong to the network, by their published names without prefixes.
        left_out: names of those that the network has no use for, such as heads.
        unknown: names that this kind of files does not have.
        lacking: names that it has, and the file does not.
    """

    tensors: State
    left_out: list[str]
    unknown: list[str]
    lacking: list[str]

    @property
    def fits(self) -> bool:
        """Whether the file is of this kind."""
        return bool(self.tensors) and not self.unknown and not self.lacking


@dataclass(frozen=True)
class FileNames:
    """How a kind of published file names its tensors.

    Attributes:
        renamed: gives the network's name of a published one, None where it has none; see :func:`by_patterns`.
        marks: names that every such file has.
        left_out: pattern of the names of what the network has no use for.
        wrappings: keys under which the state_dict lies, besides the usual ones, which come after them.
        prefixes: beginnings of names that are taken off, again and again.
        refused: patterns of names of what the network cannot compute; what to do instead.
    """

    renamed: Callable[[str], str | None]
    marks: tuple[str, ...]
    left_out: str = NONE
    wrappings: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = PREFIXES
    refused: Mapping[str, str] = field(default_factory=dict)

    def find(self, content: Any, where: str) -> Found:
        """Sorts what a file holds.

        Args:
            content: see :func:`~monai_cl_ext.networks.checkpoint.unwrapped`.
            where: the file's name, for messages.

        Raises:
            ValueError: when no state_dict is found, two tensors have one name, or one is refused.
        """
        state: State = {}
        for name, tensor in unwrapped(content, where, (*self.wrappings, *WRAPPINGS)).items():
            bare = self._bare(name)
            if bare in state and not equal_tensors(state[bare], tensor):
                raise ValueError(
                    f"{where}: holds two networks behind different prefixes, {name!r} is one of two:"
                    " save the state_dict of one of them"
                )
            state[bare] = tensor
        for pattern, remedy in self.refused.items():
            bad = [name for name in state if re.fullmatch(pattern, name)]
            if bad:
                raise ValueError(f"{where} holds {first_names(bad)}: {remedy}")
        left_out = [name for name in state if re.fullmatch(self.left_out, name)]
        rest = {name: tensor for name, tensor in state.items() if name not in set(left_out)}
        return Found(
            tensors={name: tensor for name, tensor in rest.items() if self.renamed(name) is not None},
            left_out=left_out,
            unknown=[name for name in rest if self.renamed(name) is None],
            lacking=[name for name in self.marks if name not in state],
        )

    def _bare(self, name: str) -> str:
        for prefix in self.prefixes:
            if name.startswith(prefix):
                return self._bare(name[len(prefix) :])
        return name


def by_patterns(patterns: Mapping[str, str]) -> Callable[[str], str | None]:
    """Renames by the first pattern that fits a whole name.

    Args:
        patterns: regular expressions of published names, and templates of the network's names.
    """
    compiled = [(re.compile(pattern), template) for pattern, template in patterns.items()]

    def renamed(name: str) -> str | None:
        for pattern, template in compiled:
            match = pattern.fullmatch(name)
            if match:
                return match.expand(template)
        return None

    return renamed

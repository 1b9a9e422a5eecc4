# SPDX-License-Identifier: Apache-2.0
"""The number of decoder blocks that were pre-trained, noted in the weights themselves."""

from __future__ import annotations

from typing import Any

ENTRY = "trained_blocks"


def note_trained_blocks(state: Any, blocks: int) -> None:
    """Notes in a state_dict how many decoder blocks, counted from the bottleneck, its network was pre-trained with.

    The note stands beside the versions of modules that torch keeps in every state_dict, so it travels with the file,
    whatever its name, and ``load_state_dict`` of any network passes it over.
    """
    state._metadata[""][ENTRY] = blocks


def noted_trained_blocks(state: Any) -> int:
    """The number that was noted in a state_dict; 0 where nothing was."""
    return int(getattr(state, "_metadata", {}).get("", {}).get(ENTRY, 0))

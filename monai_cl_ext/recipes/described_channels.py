# SPDX-License-Identifier: Apache-2.0
"""What the channels of images are, as a dataset.json tells."""

from __future__ import annotations

from pathlib import Path

from monai_cl_ext.data.decathlon import description_of, read_description

UNKNOWN = "n/a"


def channel_names(folder: Path) -> list[str]:
    """Names of the channels, as the Decathlon's modality {"0": "MRI"} or nnU-Net's channel_names; [] where none are."""
    description = description_of(folder)
    content = read_description(description) if description else {}
    told = content.get("channel_names") or content.get("modality")
    names = list(told.values()) if isinstance(told, dict) else told if isinstance(told, list) else [told]
    found = [name for name in names if isinstance(name, str)]
    return found if len(found) == len(names) else []


def modality_of(names: list[str], window: object) -> str:
    """The modality of images with these channels; where they do not tell one, CT if a window was set, else "n/a"."""
    if len(names) == 1:
        return names[0]
    return UNKNOWN if window is None else "CT"

# SPDX-License-Identifier: Apache-2.0
"""Copies of bundles whose configs hold the values that were chosen."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from monai_cl_ext.bundles.json_text import json_text
from monai_cl_ext.bundles.layers import ordered_config
from monai_cl_ext.files import write_text
from monai_cl_ext.recipes.described_channels import channel_names, modality_of
from monai_cl_ext.study.bundles import Bundle

UNFINISHED = ".unfinished"
LAID_OVER = ("evaluate", "metadata")  # no stages by themselves: their ids are replaced as they stand


def configured_bundle(bundle: Bundle, folder: Path, settings: Mapping[str, Mapping[str, Any]]) -> Bundle:
    """A copy of a bundle under settings of its configs; the one that is there already, where a run goes on.

    Args:
        bundle: with overlays, which the configs of the copy hold as well.
        folder: of the copy, made as a whole or not at all.
        settings: values by config id, by the name of a config.
    """
    if not folder.is_dir():
        unfinished = folder.parent / UNFINISHED / folder.name
        shutil.rmtree(unfinished, ignore_errors=True)
        bundle.copy(unfinished)
        for config, values in settings.items():
            write_text(unfinished / "configs" / f"{config}.json", json_text(_configured(bundle, config, values)))
        unfinished.rename(folder)
        unfinished.parent.rmdir()
    return Bundle(folder)


def _configured(bundle: Bundle, config: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a config with the overlays for it and the values laid over it."""
    if config in LAID_OVER:
        return {**bundle.read(config), **values}
    parser = ConfigParser(copy.deepcopy(bundle.parser(config).get()))
    for name, value in values.items():
        merge_kv(parser, name, value)
    return dict(ordered_config(parser.get()))


def trained_metadata(
    metadata: Mapping[str, Any], class_names: Sequence[str], source: Path, data: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The values of metadata.json that tell what a trained bundle predicts, and what it was trained on.

    Args:
        metadata: of the bundle.
        class_names: of the foreground classes.
        source: folder of the volumes, whose dataset.json may tell the modality and the channels.
        data: the volumes, in a few words.
        settings: of the training, by config id.
    """
    names = ["background", *map(without_marks, class_names)]
    known = metadata["network_data_format"]
    channels, told = settings.get("in_channels", 1), channel_names(source)
    modality = without_marks(modality_of(told, settings.get("window")))
    scaled, ends = _intensities(settings, modality)
    patches = {"is_patch_data": settings.get("spatial_dims", 2) == 3}  # by MONAI's SlidingWindowInferer
    image = {**known["inputs"]["image"], "modality": modality, "value_range": ends, **patches}
    if channels > 1:
        told = told if len(told) == channels else [f"channel {number}" for number in range(channels)]
        image |= {"num_channels": channels, "channel_def": _numbered(map(without_marks, told))}
    output = {
        **known["outputs"]["pred"],
        **patches,
        "num_channels": len(names),
        "channel_def": _numbered(names),
    }
    return {
        "data_source": data,
        "image_classes": f"volumes of {channels} channel(s), {scaled}",
        "label_classes": ", ".join(f"{number} {name}" for number, name in enumerate(names)),
        "network_data_format": {
            **known,
            "inputs": {**known["inputs"], "image": image},
            "outputs": {**known["outputs"], "pred": output},
        },
    }


def _numbered(names: Iterable[str]) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}


def _intensities(settings: Mapping[str, Any], modality: str) -> tuple[str, list[float]]:
    """How the images are scaled, and the range in which the values then lie, as far as it is known."""
    if settings.get("window") is not None:
        low, high = settings["window"]
        unit = " HU" if modality.upper().startswith("CT") else ""
        return f"of which {low:g} to {high:g}{unit} are scaled to 0 to 1 and the rest is clipped", [0, 1]
    if settings.get("nonzero"):
        return "whose nonzero voxels are scaled to mean 0 and standard deviation 1, each channel by itself", [-5, 5]
    return "each scaled per volume so that its 1st and 99th percentiles become 0 and 1", [0, 1.5]


def without_marks(name: str) -> str:
    """A name without the marks that MONAI's parser would read as a reference or an expression."""
    return "".join("_" if mark in "$@%" else mark for mark in name)

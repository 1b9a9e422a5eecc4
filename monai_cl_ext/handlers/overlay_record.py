# SPDX-License-Identifier: Apache-2.0
"""Keeps of every evaluated volume the slice that shows most of the label, for the report page to draw."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data.utils import affine_to_spacing
from torch import Tensor

from monai_cl_ext.arguments import one_of
from monai_cl_ext.distributed import gather_objects, on_first_process
from monai_cl_ext.files import write_tensors
from monai_cl_ext.handlers.evaluated_volumes import file_name, label_map, volume_names

MARGIN = 0.35  # of the side of the box around the masks: enough of the image to know where one looks


class OverlayRecord:
    """Writes ``overlays.pt`` when an evaluation ends: a small picture of each volume with its label and prediction.

    For the evaluators that ``SegmentationScoresHandler`` serves: lists of {"image", "label", "pred"}, the last two on
    the grid of the image's file. ``LoadCased`` reads that once more because the evaluated image has been resampled. Of
    each volume the slice with the largest labeled area is kept, cut to a square around label and prediction. The
    volumes of all processes are gathered. A volume whose file has another grid is left out.

    The file holds {"class_names": [...], "overlays": [{"volume", "slice", "image", "label", "prediction", "spacing"}]}
    with uint8 maps (H, W), the image scaled from the slice's 1st to 99th percentile, and "volume" as in metrics.csv.

    Args:
        folder: of the run; made when missing.
        slice_axis: axis of the volume that counts the slices.
        class_names: names of classes 1, 2, ...; None where they have none.
    """

    def __init__(self, folder: str, slice_axis: int = 2, class_names: Sequence[str] | None = None) -> None:
        self.folder = Path(folder)
        self.slice_axis = one_of("slice_axis", slice_axis, (0, 1, 2))
        self.class_names = None if class_names is None else list(class_names)
        self.overlays: dict[str, dict[str, Any]] = {}
        from monai_cl_ext.data import LoadCased  # not above: training needs none of what reads data

        self.load = LoadCased(["image"])

    def attach(self, engine: Engine) -> None:
        """Draws after each iteration and writes when the evaluation completes."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda _: self.overlays.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._draw)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _draw(self, engine: Engine) -> None:
        for item in engine.state.output:
            name = file_name(item)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the evaluation has told what is odd about it
                image = self.load({"image": name})["image"]
            label, prediction = (label_map(item, key).cpu() for key in ("label", "pred"))
            if image.shape[1:] == label.shape == prediction.shape and label.ndim == 3:
                steps = affine_to_spacing(image.affine, r=3).tolist()
                self.overlays[name] = self._picture(image[0].as_tensor(), label, prediction, steps)

    def _picture(self, image: Tensor, label: Tensor, prediction: Tensor, spacing: list[float]) -> dict[str, Any]:
        volumes = [volume.movedim(self.slice_axis, 0) for volume in (image.float(), label, prediction)]
        index = int((volumes[1] > 0).flatten(1).sum(1).argmax())
        window = _window((volumes[1][index] > 0) | (volumes[2][index] > 0))
        low, high = (float(value) for value in np.percentile(volumes[0][index], (1, 99)))
        scaled = ((volumes[0][index] - low) / max(high - low, 1e-6)).clamp(0, 1) * 255
        maps = [values[window].to(torch.uint8).clone() for values in (scaled, volumes[1][index], volumes[2][index])]
        steps = [step for axis, step in enumerate(spacing) if axis != self.slice_axis]
        return {"slice": index, "image": maps[0], "label": maps[1], "prediction": maps[2], "spacing": steps}

    def _write(self, engine: Engine) -> None:
        self._save({name: item for part in gather_objects(self.overlays) for name, item in part.items()})

    @on_first_process
    def _save(self, gathered: dict[str, Any]) -> None:
        names = sorted(gathered)
        overlays = [
            {"volume": name, **gathered[path]} for name, path in zip(volume_names(names), names, strict=True)
        ]  # fmt: skip
        content = {"class_names": self.class_names, "overlays": overlays}
        write_tensors(self.folder / "overlays.pt", content)


def _window(mask: Tensor) -> tuple[slice, slice]:
    """A square around the mask with a margin, as far as the image goes; the whole image for an empty mask."""
    if not mask.any():
        return slice(None), slice(None)
    boxes = [(int(found[0]), int(found[-1]) + 1) for found in (mask.any(1).nonzero(), mask.any(0).nonzero())]
    side = min(round((1 + 2 * MARGIN) * max(stop - start for start, stop in boxes)), *mask.shape)
    starts = [
        min(max(0, (start + stop - side) // 2), length - side)
        for (start, stop), length in zip(boxes, mask.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)

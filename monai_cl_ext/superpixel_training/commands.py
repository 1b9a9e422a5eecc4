# SPDX-License-Identifier: Apache-2.0
"""The command ``superpixels train``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from monai_cl_ext.arguments import as_list
from monai_cl_ext.data import SliceDataset, default_store, find_cases, superpixel_weights, volume_transform
from monai_cl_ext.data.file_names import image_file
from monai_cl_ext.data.image_hash import image_hash
from monai_cl_ext.superpixel_training.plan import SuperpixelPlan
from monai_cl_ext.superpixel_training.training import train_superpixels


class SuperpixelCommands:
    """Learned superpixels, trained on images without labels."""

    def train(
        self, data_dir: str, backend: str, output: str | None = None, n_segments: int = 60, image_size: Any = 96,
        pixdim: Any = 2.0, slice_axis: int = 2, window: Any = None, nonzero: bool = False, color: bool = False,
        leave_out: str | Sequence[str] = (), steps: int = 0, learning_rate: float = 0.0,
        compactness: float | None = None, seed: int = 0, device: str | None = None,
    ) -> None:  # fmt: skip
        """Trains LNSNet or SuperpixelFCN on the slices of all volumes, without labels, and writes their weights.

        Interrupted and started again by the same command, it goes on where it stopped.

        Args:
            data_dir: Folder of volumes, as the bundles read it.
            backend: lnsnet or superpixel_fcn.
            output: File of the weights; by default superpixels/BACKEND.pt in the store.
            n_segments: About how many superpixels a slice is to have.
            image_size: Of the slices in pixels, one number or two, such as 96,80; None leaves their size.
            pixdim: Spacing in the slices in mm, likewise; None leaves it.
            slice_axis: Axis of a volume that counts the slices.
            window: Of CT in HU, such as -160,240.
            nonzero: Scale the intensities of voxels that are not 0 alone.
            color: Read pictures as red, green and blue.
            leave_out: Patients not to be trained on, such as those of the test, with commas between them.
            steps: Of the optimizer; 0 is 2000.
            learning_rate: Of Adam; 0 is 3e-4 for lnsnet, 5e-4 for superpixel_fcn.
            compactness: Weight of place against color, of superpixel_fcn alone; 3 by default.
            seed: Of the first weights and the order of the slices.
            device: To train on, such as cpu; by default a GPU where there is one.
        """
        where = _usable(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        file = Path(output or superpixel_weights(backend)).expanduser()
        if file.is_dir():
            raise ValueError(f"output {file}: expected a file, found a folder; give the file of the weights")
        plan = SuperpixelPlan(backend, n_segments, steps, learning_rate, seed, compactness)
        prepared = {
            "image_size": image_size, "pixdim": pixdim, "slice_axis": slice_axis, "window": window,
            "nonzero": nonzero, "color": color,
        }  # fmt: skip
        transform = volume_transform(["image"], **prepared)
        cases = find_cases(data_dir)
        left_out = set(as_list(leave_out))
        unknown = left_out - {case["patient"] for case in cases}
        if unknown:
            raise ValueError(f"leave_out: {data_dir} has no patient {', '.join(sorted(unknown))}; check the names")
        data = [{"image": case["image"]} for case in cases if case["patient"] not in left_out]
        slices = SliceDataset(data, transform, slice_axis, partitions=1, store=default_store())
        prepared |= {name: list(value) for name, value in prepared.items() if isinstance(value, tuple)}
        prepared["images"] = sorted({image_hash(image_file(case)) for case in data})  # a study knows patients by them
        if not train_superpixels(slices, plan, file, prepared, where):
            print("there already, by the same training")
        print(f"weights written to {file}: give them as weights, or as the setting superpixel_weights")


def _usable(device: str) -> str:
    """The device; a ValueError where this machine has none of that name, before any volume is read."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter of a torch built without CUDA
        raise ValueError(f"device: expected one of this machine, such as cpu or cuda, found {device!r}") from error
    return device

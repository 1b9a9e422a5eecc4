# SPDX-License-Identifier: Apache-2.0
"""Time to make one view of a batch of volumes by ``segmentation_policy`` and ``gcl_policy``, and by MONAI.

    python benchmarks/views_3d.py [--sides 64 96] [--batch 2] [--threads 1] [--repeats 7]

Ours takes the batch; MONAI's dictionary transforms take one sample after the other, in a loop of this process, without
metadata (``set_track_meta(False)``, its faster form). Views of ``segmentation_policy`` have an image and a label, those
of ``gcl_policy`` an image. ``whole policy`` is ours with its own probabilities. ``beside MONAI`` has the operations of
both, with every probability 1 on both sides, so that each turn does the same work:

- segmentation: rotation, zoom and shift in one resampling (``RandAffined``), contrast about the mean, offset, bias
  field, Gaussian blur, noise. Ours has the elastic deformation in ``whole policy`` alone: ``Rand3DElasticd`` smooths a
  field of the size of the image and is another deformation.
- GCL: crop (``RandSpatialCropd``) and resizing to the full size (``Resized``), offset, contrast, clipping.

``resampling alone`` is the first step of each. The contenders take turns; shown are medians of milliseconds a batch and
of the ratio MONAI / ours of the same turn its median, lowest and highest.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from copy import copy

import monai.transforms as M
import torch
from monai.data import set_track_meta
from torch import Tensor

from monai_cl_ext.transforms import (
    ElasticDeformation,
    Operation,
    SpatialOperation,
    ViewPolicy,
    gcl_policy,
    segmentation_policy,
)

CROP = 100 / 192
ANGLE = torch.pi / 6
Call = Callable[[], object]


def batch(side: int, rows: int) -> dict[str, Tensor]:
    """Volumes of intensities in [0, 1] and label maps."""
    generator = torch.Generator().manual_seed(0)
    shape = rows, 1, side, side, side
    return {
        "image": torch.rand(shape, generator=generator),
        "label": torch.randint(4, shape, generator=generator, dtype=torch.uint8),
    }


def always(operation: Operation) -> Operation:
    """The operation with the probability 1."""
    other = copy(operation)
    other.probability = 1.0
    return other


def shared(policy: ViewPolicy, resampling_alone: bool) -> ViewPolicy:
    """The operations of a policy that MONAI has, each on every sample."""
    kept = [always(each) for each in policy.operations if not isinstance(each, ElasticDeformation)]
    return policy.with_operations(
        [each for each in kept if isinstance(each, SpatialOperation)] if resampling_alone else kept
    )


def ours(policy: ViewPolicy, data: Mapping[str, Tensor]) -> Call:
    generator = torch.Generator().manual_seed(0)
    return lambda: policy(dict(data), generator)


def monai_segmentation(side: int) -> list:
    reach = 0.1 * side
    return [
        M.RandAffined(
            ["image", "label"],
            prob=1.0,
            rotate_range=(ANGLE,) * 3,
            scale_range=(0.3,) * 3,
            translate_range=(reach,) * 3,
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
            cache_grid=True,
            spatial_size=(side,) * 3,
        ),
        M.RandScaleIntensityFixedMeand("image", factors=0.4, prob=1.0),
        M.RandShiftIntensityd("image", offsets=0.2, prob=1.0),
        M.RandBiasFieldd("image", degree=3, coeff_range=(0.0, 0.5), prob=1.0),
        M.RandGaussianSmoothd("image", (0.5, 1.0), (0.5, 1.0), (0.5, 1.0), prob=1.0),
        M.RandGaussianNoised("image", std=0.1, prob=1.0),
    ]


def monai_gcl(side: int) -> list:
    return [
        M.Compose(
            [
                M.RandSpatialCropd("image", roi_size=(round(CROP * side),) * 3, random_size=False),
                M.Resized("image", (side,) * 3, mode="trilinear"),
            ]
        ),
        M.RandShiftIntensityd("image", offsets=0.3, prob=1.0),
        M.RandScaleIntensityFixedMeand("image", factors=0.3, prob=1.0),
        M.Lambdad("image", lambda image: image.clamp(0.0, 1.5)),
    ]


def theirs(transforms: list, data: Mapping[str, Tensor]) -> Call:
    transform = M.Compose(transforms)
    rows = [{name: values[row] for name, values in data.items()} for row in range(len(data["image"]))]
    return lambda: [transform(row) for row in rows]


def contenders(side: int, rows: int) -> dict[tuple[str, str], dict[str, Call]]:
    """What is timed together, by policy and operations."""
    whole = batch(side, rows)
    cases = {
        "segmentation": (segmentation_policy(spatial_dims=3), monai_segmentation(side), whole),
        "gcl": (gcl_policy(spatial_dims=3), monai_gcl(side), {"image": whole["image"]}),
    }
    made: dict[tuple[str, str], dict[str, Call]] = {}
    for name, (policy, transforms, data) in cases.items():
        made[name, "whole policy"] = {"ours": ours(policy, data)}
        for about, alone in (("beside MONAI", False), ("resampling alone", True)):
            their = transforms[:1] if alone else transforms
            made[name, about] = {"ours": ours(shared(policy, alone), data), "MONAI": theirs(their, data)}
    return made


def milliseconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def measure(calls: Mapping[str, Call], repeats: int) -> str:
    for call in calls.values():
        call()
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats):
        for name in sorted(calls, reverse=turn % 2 == 1):
            spent[name].append(milliseconds(calls[name]))
    row = f"{statistics.median(spent['ours']):.0f} | "
    if "MONAI" in spent:
        ratios = [their / own for own, their in zip(spent["ours"], spent["MONAI"], strict=True)]
        row += f"{statistics.median(spent['MONAI']):.0f} | "
        row += f"{statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})"
    else:
        row += "| "
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 96], help="of the volumes, in voxels")
    parser.add_argument("--batch", type=int, default=2, help="volumes in a batch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    set_track_meta(False)
    torch.set_num_threads(options.threads)
    cores = len(os.sched_getaffinity(0))
    print(f"{platform.machine()}, {cores} cores, {options.threads} thread(s), torch {torch.__version__}", end="; ")
    print(f"{os.getloadavg()[0]:.1f} processes were busy before")
    print("| batch | policy | operations | ours ms | MONAI ms | MONAI / ours |\n|---|---|---|---|---|---|")
    for side in options.sides:
        for (policy, about), calls in contenders(side, options.batch).items():
            shape = f"{options.batch}x{side}x{side}x{side}"
            print(f"| {shape} | {policy} | {about} | {measure(calls, options.repeats)} |", flush=True)


if __name__ == "__main__":
    main()

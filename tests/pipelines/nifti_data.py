# SPDX-License-Identifier: Apache-2.0
"""Small NIfTI data sets, laid out as MONAI's tutorials find them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

SPACING = np.diag([2.0, 1.5, 3.0, 1.0])
SIZE = (26, 30, 18)


def organ(seed: int, size: tuple[int, ...] = SIZE) -> np.ndarray:
    """A box of label 1, off the center, another in each volume."""
    rng, label = np.random.default_rng(seed), np.zeros(size, np.uint8)
    first = [int(rng.integers(2, length // 3)) for length in size]
    label[tuple(slice(start, start + length // 2) for start, length in zip(first, size, strict=True))] = 1
    return label


def write_volumes(folder: Path, count: int) -> list[dict[str, str]]:
    """Volumes whose image is 1 where their label is, 0 elsewhere, with little noise, and a datalist of them."""
    items = []
    for number in range(count):
        label = organ(number)
        image = label + np.random.default_rng(number).normal(0, 0.02, label.shape)
        paths = {"image": folder / f"image_{number}.nii.gz", "label": folder / f"label_{number}.nii.gz"}
        nib.save(nib.Nifti1Image(image.astype(np.float32), SPACING), paths["image"])
        nib.save(nib.Nifti1Image(label, SPACING), paths["label"])
        items.append({name: str(path) for name, path in paths.items()})
    return items


def write_brats(folder: Path, count: int) -> Path:
    """A Decathlon-like task of four modalities in one file, labels 1, 2 and 4 inside each other; its dataset.json."""
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True)
    entries = []
    for number in range(count):
        whole = organ(number)
        label = whole.copy()
        x, y, z = (int(places.min()) for places in np.nonzero(whole))
        label[x + 2 : x + 10, y + 2 : y + 12, z + 2 : z + 9] = 2
        label[x + 3 : x + 8, y + 3 : y + 9, z + 3 : z + 7] = 4
        # each modality shows another part, and none is a multiple of another
        image = np.stack([whole, label == 2, label == 4, label >= 2], axis=-1).astype(np.float32)
        image += 0.05 + np.random.default_rng(number).normal(0, 0.01, image.shape)
        name = f"BRATS_{number:03d}.nii.gz"
        nib.save(nib.Nifti1Image(image.astype(np.float32), SPACING), folder / "imagesTr" / name)
        nib.save(nib.Nifti1Image(label, SPACING), folder / "labelsTr" / name)
        entries.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    (folder / "dataset.json").write_text(json.dumps({"training": entries, "test": []}))
    return folder / "dataset.json"

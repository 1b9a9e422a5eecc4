# SPDX-License-Identifier: Apache-2.0
"""Heart-like phantom volumes with labels, for trying things without data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.data.phantom.anatomy import LABEL_OF_TISSUE, Grid, draw_anatomy
from monai_cl_ext.data.phantom.appearance import draw_channels, draw_image
from monai_cl_ext.progress import progress_bar

LABELS = {"0": "background", "1": "RV", "2": "myocardium", "3": "LV"}


@dataclass(frozen=True)
class PhantomVolume:
    """One volume: image and label (height, width, slices), affine (4, 4) in mm.

    Several channels are the last axis of the image.
    """

    image: NDArray[np.uint8] | NDArray[np.int16]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]


class Phantom:
    """Short-axis heart volumes from base to apex, labeled as in ACDC: 1 RV, 2 myocardium, 3 LV cavity.

    Patients differ in shape, pose, contrast (clear or low; blood is bright), bias field, blur, noise and
    intensity scale (0..255, or some thousands). Chest wall, lungs, liver, gut and vessels around the heart look
    like parts of it. In-plane spacing is 1.2 to 1.7 mm, slice spacing 8 to 10 mm, 8 to 12 slices of 128 to 160 pixels.

    Args:
        seed: of all patients, at least 0; patient k is the same whatever other patients are asked for.
        frames: 1: end-diastole; 2: end-systole too.
        channels: of the image; several show the anatomy in different contrasts, with air exactly 0.
    """

    def __init__(self, seed: int = 0, frames: int = 1, channels: int = 1) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ValueError(f"seed must be an integer of at least 0, found {seed!r}")
        self.seed = seed
        self.frames = one_of("frames", frames, (1, 2))
        self.channels = positive_integer("channels", channels)

    def patient(self, number: int) -> list[PhantomVolume]:
        """The frames of patient ``number``, which counts from 1."""
        seeds = np.random.SeedSequence((self.seed, positive_integer("number", number))).spawn(5)
        scanner, anatomy, protocol, *noise = seeds
        grid, affine = _draw_grid(np.random.default_rng(scanner))
        volumes = []
        for frame in range(self.frames):
            tissue = draw_anatomy(grid, np.random.default_rng(anatomy), contraction=float(frame))
            if self.channels == 1:
                image = draw_image(tissue, grid, np.random.default_rng(protocol), np.random.default_rng(noise[frame]))
            else:
                image = draw_channels(tissue, grid, deepcopy(protocol), noise[frame], self.channels)
            volumes.append(PhantomVolume(image, LABEL_OF_TISSUE[tissue], affine))
        return volumes


def write_phantom(
    output: str | Path,
    patients: int = 40,
    seed: int = 0,
    frames: int = 1,
    channels: int = 1,
    channel_files: bool = False,
    *,
    progress: bool = False,
) -> Path:
    """Writes phantom patients as NIfTI files in the layout of the Medical Segmentation Decathlon, or in nnU-Net's.

    Args:
        output: folder to be made, or an empty one.
        patients: how many, named patient001, patient002, ...
        seed, frames, channels: see :class:`Phantom`; files are named ``patient001_frame01.nii.gz`` and so on. Several
            channels are the fourth axis of a file.
        channel_files: writes a file for each channel, ``patient001_frame01_0000.nii.gz``, ..., as nnU-Net has them.
        progress: shows a bar.

    Returns:
        The folder, which holds ``dataset.json``, ``imagesTr`` and ``labelsTr``.

    Raises:
        FileExistsError: when ``output`` is a file or a folder with something in it.
        ValueError: when a number is out of range.
    """
    folder = Path(output)
    phantom = Phantom(seed, frames, channels)
    positive_integer("patients", patients)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"output {folder}: exists and is not an empty folder; give another, or remove it first")
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    names = []
    for number in progress_bar(range(1, patients + 1), "Patients", unit="patient", quiet=not progress):
        for frame, volume in enumerate(phantom.patient(number), start=1):
            names.append(f"patient{number:03d}_frame{frame:02d}")
            of_channels = np.moveaxis(volume.image.reshape(*volume.label.shape, -1), -1, 0)
            images = {f"{names[-1]}_{place:04d}": image for place, image in enumerate(of_channels)}
            for name, image in images.items() if channel_files else [(names[-1], volume.image)]:
                _write(image, volume.affine, folder / "imagesTr" / f"{name}.nii.gz")
            _write(volume.label, volume.affine, folder / "labelsTr" / f"{names[-1]}.nii.gz")
    described = _described_by_nnunet(names, channels) if channel_files else _described(names, channels)
    told = f"Synthetic short-axis hearts, seed {seed}; slice axis 2, base to apex"
    content = {"name": "Phantom", "description": told, **described}
    (folder / "dataset.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    return folder


def _described(names: Sequence[str], channels: int) -> dict[str, Any]:
    """What dataset.json of the Decathlon tells of volumes."""
    entries = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names]
    modality = {"0": "MRI"} if channels == 1 else _channel_names(channels)
    return {
        "tensorImageSize": "3D" if channels == 1 else "4D",
        "modality": modality,
        "labels": LABELS,
        "numTraining": len(entries),
        "numTest": 0,
        "training": entries,
        "test": [],
    }


def _described_by_nnunet(names: Sequence[str], channels: int) -> dict[str, Any]:
    """What dataset.json of nnU-Net, version 2, tells of volumes."""
    labels = {name: int(number) for number, name in LABELS.items()}
    names_of = _channel_names(channels)
    return {"channel_names": names_of, "labels": labels, "numTraining": len(names), "file_ending": ".nii.gz"}


def _channel_names(channels: int) -> dict[str, str]:
    return {str(number): f"contrast {number + 1}" for number in range(channels)}


def _draw_grid(scanner: np.random.Generator) -> tuple[Grid, NDArray[np.float64]]:
    """Voxels and where they lie in the world: an oblique short-axis stack."""
    in_plane = round(scanner.uniform(1.2, 1.7), 3)
    spacing = (in_plane, in_plane, round(scanner.uniform(8, 10), 1))
    height, width = (int(length) for length in 4 * scanner.integers(32, 41, 2))
    grid = Grid((height, width, int(scanner.integers(8, 13))), spacing)
    axes, _ = np.linalg.qr(np.eye(3) + 0.5 * scanner.standard_normal((3, 3)))
    axes *= np.sign(np.diag(axes)) * (-1, -1, 1)
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = scanner.uniform(-20, 20, 3) - affine[:3, :3] @ (np.array(grid.size) - 1) / 2
    return grid, affine


def _write(voxels: NDArray[np.uint8] | NDArray[np.int16], affine: NDArray[np.float64], path: Path) -> None:
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)

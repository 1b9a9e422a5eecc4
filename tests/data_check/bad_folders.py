# SPDX-License-Identifier: Apache-2.0
"""Folders of small volumes of which one or two are bad, each in one way that users' data are."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np

SHAPE, STEPS = (24, 20, 8), (1.5, 1.5, 8.0)
COUNT = 8
BAD = "p03"


class Kind(NamedTuple):
    """How a folder is spoiled, and what must be said of it."""

    spoil: Callable[[Path], None]
    level: str
    found: str  # regular expressions
    remedy: str
    file: str = BAD  # that the message names


def affine(steps=STEPS, shift=(-10.0, 5.0, 30.0)):
    placed = np.diag([*steps, 1.0])
    placed[:3, 3] = shift
    return placed


def save(array, path, place=None, unit="mm"):
    image = nib.Nifti1Image(array, affine() if place is None else place)
    image.header.set_xyzt_units(unit)
    nib.save(image, path)


def volume(seed, shape=SHAPE):
    return (np.random.default_rng(seed).random(shape) * 200 + 1).astype(np.int16)


def label(shape=SHAPE):
    """Two classes off the middle, without symmetry."""
    values = np.zeros(shape, np.uint8)
    values[4:12, 6:11, 2:6], values[12:15, 6:9, 2:5] = 1, 2
    return values


def write_folder(folder: Path, count=COUNT, labels=True) -> Path:
    """An MSD folder of ``count`` patients without any fault."""
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    entries = []
    for number in range(count):
        name = f"p{number:02}.nii.gz"
        save(volume(number), folder / "imagesTr" / name)
        save(label(), folder / "labelsTr" / name)
        entries.append({"image": f"imagesTr/{name}"} | ({"label": f"labelsTr/{name}"} if labels else {}))
    names = {"0": "background", "1": "organ", "2": "lesion"}
    (folder / "dataset.json").write_text(json.dumps({"labels": names, "training": entries}))
    return folder


def image_of(folder, name=BAD):
    return folder / "imagesTr" / f"{name}.nii.gz"


def label_of(folder, name=BAD):
    return folder / "labelsTr" / f"{name}.nii.gz"


def with_label(values, place=None):
    return lambda folder: save(values, label_of(folder), place)


def with_image(values):
    return lambda folder: save(values, image_of(folder))


def with_both(shape, place, unit="mm"):
    def spoil(folder):
        save(volume(3, shape), image_of(folder), place, unit)
        save(label(shape), label_of(folder), place, unit)

    return spoil


def holding(value, dtype=np.float32):
    values = label().astype(dtype)
    values[5, 7, 3] = value
    return values


def with_nan(folder):
    values = volume(3).astype(np.float32)
    values[0, 0, 0] = np.nan
    save(values, image_of(folder))


def twice(folder):
    shutil.copy(image_of(folder, "p05"), image_of(folder))


def rare_class(folder):
    for number in range(COUNT - 1):
        save(np.minimum(label(), 1), label_of(folder, f"p{number:02}"))


def gap(folder):
    for number in range(COUNT):
        save(label() // 2 * 2, label_of(folder, f"p{number:02}"))


def no_background(folder):
    for number in range(COUNT):
        save(label() // 2 * 2 + 2, label_of(folder, f"p{number:02}"))


def nothing_labeled(folder):
    save(np.zeros(SHAPE, np.uint8), label_of(folder))


SHEAR = affine() @ np.array([[1, 0, 0.5, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
TURNED = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]) @ affine()
FLIPPED = affine() @ np.diag([-1.0, 1, 1, 1])

THOUSANDTH = tuple(step / 1000 for step in STEPS)

KINDS = {
    "label shifted": Kind(with_label(label(), affine(shift=(10, 5, 30))), "error", "same box", "give the label"),
    "label flipped": Kind(with_label(label(), FLIPPED), "error", "same box", "give the label"),
    "label of another shape": Kind(with_label(label((24, 20, 9))), "error", "same box", "give the label"),
    "label sampled otherwise": Kind(
        with_label(label()[::2], affine((3.0, 1.5, 8.0), (-9.25, 5, 30))), "warning", "another grid", "nearest neighbor"
    ),
    "label without position": Kind(with_label(label(), np.eye(4)), "error", "no position", "the image's header"),
    "fractional label": Kind(with_label(holding(0.5)), "error", "found the value 0.5", "mode nearest"),
    "nearly whole label": Kind(with_label(holding(1.005)), "warning", "not whole", "rounded"),
    "label with NaN": Kind(with_label(holding(np.nan)), "error", "found the value nan", "renumber"),
    "negative label": Kind(with_label(holding(-1)), "error", "found -1", "renumber"),
    "class without a name": Kind(
        with_label(holding(3)), "warning", "class 3.*dataset.json names", "correct the labels"
    ),
    "empty label": Kind(nothing_labeled, "warning", "nothing but background", "remove the label"),
    "two channels of labels": Kind(
        with_label(np.stack([label()] * 2, axis=-1)), "error", "one channel|three axes", "write|give"
    ),
    "rare class": Kind(rare_class, "warning", r"class 2 \(lesion\) is in 1 of 8", "merge the class", "p07"),
    "gap": Kind(gap, "warning", r"class 1 \(organ\) of 3 is in no label.*hold 0, 2", r"label_values=\[0, 2\]", ""),
    "no background": Kind(no_background, "warning", r"hold 2, 4;", r"label_values=\[0, 2, 4\]\) and num_classes 3", ""),
    "image with NaN": Kind(with_nan, "error", "1 voxel", "leave out"),
    "constant image": Kind(with_image(np.full(SHAPE, 7, np.int16)), "warning", "one intensity", "check the file"),
    "no volume": Kind(lambda folder: image_of(folder).write_bytes(b"no volume"), "error", "NIfTI", "copy or download"),
    "absent file": Kind(
        lambda folder: (image_of(folder).unlink(), image_of(folder).touch()), "error", "empty", "copy or download"
    ),
    "two channels": Kind(
        with_image(np.stack([volume(3)] * 2, axis=-1)),
        "error",
        "channels differ: 7 have 1, 1 have 2",
        "the same channels",
    ),
    "units": Kind(
        with_both(SHAPE, affine(tuple(step / 1000 for step in STEPS))),
        "warning",
        "voxels of 0.0015 x 0.0015 x 0.008 mm",
        "unit code of mm",
    ),
    "other spacing": Kind(with_both(SHAPE, affine((1.5, 1.5, 30.0))), "warning", "spacing off the median", "headers"),
    "other orientation": Kind(with_both(SHAPE, FLIPPED), "warning", "LAS where most have RAS", "Orientation"),
    "turned by 90 degrees": Kind(with_both(SHAPE, TURNED), "warning", "PRS where most have RAS", "Orientation"),
    "other shape": Kind(with_both((24, 80, 8), affine()), "warning", "shape off the median", "same region"),
    "other scale": Kind(
        with_image(volume(3).astype(np.float32) * 50), "warning", "intensities.*off the median", "scale"
    ),
    "sheared": Kind(with_both(SHAPE, SHEAR), "warning", "sheared.*degrees", "right angles"),
    "no spacing": Kind(with_both(SHAPE, np.eye(4), "unknown"), "warning", "headers differ.*1 have none", "spacing"),
    "same image": Kind(twice, "warning", "'p03' and 'p05' have the same image", "give both the same patient"),
    "few slices": Kind(with_both((24, 20, 3), affine()), "warning", "fewer slices along axis 2", "partitions"),
}

# SPDX-License-Identifier: Apache-2.0
"""Reads a case once, through the gate that every stage reads through, and tells what is in it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeAlias

import nibabel as nib
import numpy as np
from monai.data import MetaTensor

from monai_cl_ext.data.file_names import files_of, image_file
from monai_cl_ext.data.loading import is_picture
from monai_cl_ext.data.spacing import tells_spacing
from monai_cl_ext.data.volume import error_with_files
from monai_cl_ext.data_check.facts import (
    ERROR,
    WARNING,
    CaseFacts,
    Finding,
    ImageFacts,
    Intensities,
    LabelFacts,
)

Load: TypeAlias = Callable[[Mapping[Hashable, Any]], Mapping[Hashable, Any]]
MOST_VOXELS = 1 << 22  # of which percentiles are taken; of larger volumes a random sample
SAMPLE = 1000  # foreground voxels that stand for a case among those of all
SMALLEST, LARGEST = 0.01, 50.0  # mm: a spacing outside has another unit
SHEARED = 0.01  # cosine between two axes: half a degree
PERCENTILES = (0, 0.5, 50, 99.5, 100)


def examine(case: Mapping[str, Any], load: Load) -> CaseFacts:
    """What a case holds, and whatever the gate says of it.

    Args:
        case: {"image": path or those of its channels, "label"?: path, "patient": id}.
        load: a :class:`LoadCased` of the keys "image" and "label", with ``allow_missing_keys``.

    Returns:
        Its facts. An error of the gate is a finding, and so is each of its warnings; where the label is refused, the
        image is read alone.
    """
    label = str(case["label"]) if case.get("label") else None
    facts = CaseFacts(image_file(case), label, str(case["patient"]))
    given: dict[Hashable, Any] = {key: case[key] for key in ("image", "label") if case.get(key)}
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        try:
            _read(given, load, facts)
        except Exception as error:  # of any reader; the next case is none the worse for it
            facts.findings.append(_refusal(error, case))
            if facts.label and facts.volume is None:
                _read_image_alone(given["image"], facts, load)
    facts.findings += [_told(warning, facts) for warning in raised if issubclass(warning.category, UserWarning)]
    facts.findings = list(dict.fromkeys(facts.findings))
    return facts


def _read(given: Mapping[Hashable, Any], load: Load, facts: CaseFacts) -> None:
    loaded = load(given)
    image = loaded["image"]
    if image.ndim != 4:
        raise ValueError(
            f"{facts.image}: expected a volume of three axes, found {tuple(image.shape[1:])}; write each time point "
            "to a file of its own, and a 2D image as a volume of one slice or as a picture"
        )
    values = image.as_tensor().numpy()
    facts.volume = _image_facts(image, values, facts)
    if "label" in loaded:
        label = loaded["label"].as_tensor().numpy()
        if len(label) != 1:
            raise ValueError(f"{facts.label}: expected a label of one channel, found {len(label)}; write class numbers")
        facts.segmentation = _label_facts(label[0].astype(np.uint8), values, facts.volume)


def _read_image_alone(image: Any, facts: CaseFacts, load: Load) -> None:
    try:
        _read({"image": image}, load, facts)
    except Exception:  # the error is known already
        return


def _refusal(error: Exception, case: Mapping[str, Any]) -> Finding:
    found = error_with_files(error, case)
    every = [file for key in ("label", "image") if case.get(key) for file in files_of(case[key])]
    files = tuple(file for file in every if file in str(found))
    return Finding(ERROR, str(found), files[:1] or (image_file(case),))


def _told(warning: warnings.WarningMessage, facts: CaseFacts) -> Finding:
    text = str(warning.message)
    file = next((name for name in (facts.label, facts.image) if name and text.startswith(name)), None)
    return Finding(WARNING, text if file else f"{facts.image}: {text}", (file or facts.image,))


def _image_facts(image: MetaTensor, values: np.ndarray, facts: CaseFacts) -> ImageFacts:
    affine = image.affine.double().numpy()
    axes, shape = affine[:3, :3], tuple(values.shape[1:])
    spacing = tuple(float(step) for step in np.linalg.norm(axes, axis=0))
    placed = tells_spacing(image) and not is_picture(facts.image)
    if placed:
        facts.findings += _geometry_findings(axes, spacing, facts.image)
    codes = nib.aff2axcodes(affine)
    intensities = [_intensities(channel.ravel()) for channel in values]
    return ImageFacts(
        shape=shape,
        spacing=spacing,
        orientation="".join(code or "?" for code in codes),
        directions=tuple(map(tuple, (axes / np.array(spacing)).tolist())),
        channels=len(values),
        dtype=_stored_type(image.meta),
        placed=placed,
        nonzero_shape=tuple(end - first for first, end in _box((values != 0).any(axis=0))) or (0, 0, 0),
        intensities=intensities,
    )


def _geometry_findings(axes: np.ndarray, spacing: tuple[float, ...], file: str) -> list[Finding]:
    found = []
    if min(spacing) < SMALLEST or max(spacing) > LARGEST:
        steps = " x ".join(f"{step:.4g}" for step in spacing)
        found.append(
            Finding(
                WARNING,
                f"{file}: voxels of {steps} mm, expected {SMALLEST} to {LARGEST:g} mm; if its header has another unit, "
                "write it with lengths in mm and the unit code of mm",
                (file,),
            )
        )
    cosines = np.abs(np.triu((axes / np.array(spacing)).T @ (axes / np.array(spacing)), 1))
    if cosines.max() > SHEARED:
        angle = float(np.degrees(np.arccos(min(cosines.max(), 1.0))))
        found.append(
            Finding(
                WARNING,
                f"{file}: sheared, two of its axes meet at {angle:.1f} degrees in place of 90 (gantry tilt); its "
                "slices are kept as they are, and distances hold within a slice alone; resample it to axes at right "
                "angles for 3D work",
                (file,),
            )
        )
    return found


def _stored_type(meta: Mapping[str, Any]) -> str:
    try:
        return np.dtype(nib.nifti1.data_type_codes.dtype[int(meta["datatype"])]).name
    except (KeyError, TypeError, ValueError):  # another format than NIfTI
        return ""


def _label_facts(label: np.ndarray, values: np.ndarray, volume: ImageFacts) -> LabelFacts:
    counts = np.bincount(label.ravel())
    voxels = {number: int(count) for number, count in enumerate(counts) if count}
    milliliter = float(np.prod(volume.spacing)) / 1000
    foreground = values[:, label > 0]
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, foreground.shape[1], SAMPLE) if foreground.shape[1] > SAMPLE else slice(None)
    return LabelFacts(
        voxels=voxels,
        milliliters={number: count * milliliter for number, count in voxels.items()} if volume.placed else None,
        box=_box(label > 0),
        intensities=[_intensities(channel) for channel in foreground] if foreground.size else [],
        sample=foreground[:, drawn],
    )


def _intensities(values: np.ndarray) -> Intensities:
    taken = values
    if values.size > MOST_VOXELS:
        taken = values[np.random.default_rng(0).integers(0, values.size, MOST_VOXELS)]
    low, lower, median, upper, high = np.percentile(taken, PERCENTILES).tolist()
    mean, std = float(taken.mean(dtype=np.float64)), float(taken.std(dtype=np.float64))
    return Intensities(low, lower, median, upper, high, mean, std)


def _box(mask: np.ndarray) -> tuple[tuple[int, int], ...]:
    """First voxel and the one behind the last, along each axis; empty where the mask is."""
    ends = []
    for axis in range(mask.ndim):
        places = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not places.size:
            return ()
        ends.append((int(places[0]), int(places[-1]) + 1))
    return tuple(ends)

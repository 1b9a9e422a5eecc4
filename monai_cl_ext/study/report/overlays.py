# SPDX-License-Identifier: Apache-2.0
"""Predictions of two methods on the image, of the patients in whom they differ most."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from monai.transforms.utils import generate_spatial_bounding_box

from monai_cl_ext.data.file_names import image_file
from monai_cl_ext.data.loading import LoadCased
from monai_cl_ext.data.splits import Case
from monai_cl_ext.study.alignment import aligned_labels
from monai_cl_ext.study.comparison import BEST
from monai_cl_ext.study.report.records import Study
from monai_cl_ext.study.scores import find_predictions
from monai_cl_ext.study.task import Task
from monai_cl_ext.visualize.drawing import WIDTH, Drawing, new_figure, show_image, styled, wrap
from monai_cl_ext.visualize.overlays import add_class_legend, painted
from monai_cl_ext.visualize.wording import counted

MARGIN = 0.15  # of the image, around the masks


class Pictured(NamedTuple):
    """What is drawn of one patient: a draw of labeled patients whose gain is nearest the mean of all draws."""

    kind: str
    method: str
    labelled: int
    patient: str
    draw: int
    gain: float
    gain_of_draw: float


def draw_extremes(study: Study) -> tuple[list[Drawing], str]:
    """Image, reference and both predictions of the patients with the largest gain and loss of the best method.

    The best method, and its number of labeled patients, is that with the largest mean difference from scratch in Dice.

    Args:
        study: with its cells' predictions and the volumes of its plan, as far as they are there.

    Returns:
        The drawings, and a sentence that says what they are or why there are none.
    """
    known = study.primary.differences.dropna(subset="mean")
    if study.reference == BEST or known.empty:
        return [], "No overlays: the study has no method to compare with training from scratch."
    best = known.loc[known["mean"].idxmax()]
    try:
        drawings = [_draw(study, found) for found in largest(study, str(best["method"]), int(best["labelled"]))]
    except (OSError, ValueError, RuntimeError) as error:
        return [], f"No overlays: {error}"
    return drawings, (
        f"Of all mean differences from {study.reference}, that of {best['method']} with "
        f"{counted(best['labelled'], 'labeled patient')} is the largest: {best['mean']:+.3f}. The patients below are "
        "chosen because they are extreme; they do not show what is usual."
    )


def largest(study: Study, method: str, labelled: int) -> list[Pictured]:
    """The patients in whom a method gains and loses most against scratch, means over draws; one where all are alike."""
    patients = study.primary.patient_table
    wide = patients[patients["labelled"] == labelled].pivot(index=["draw", "patient"], columns="method", values="value")
    gains = (wide[method] - wide[study.reference]).dropna()
    means = gains.groupby(level="patient").mean()
    chosen = {"gain": (means.idxmax(), means.max() >= 0), "loss": (means.idxmin(), means.min() <= 0)}
    if means.max() == means.min():
        del chosen["loss"]
    found = []
    for kind, (patient, true) in chosen.items():
        of_draws = gains.xs(patient, level="patient")
        draw = (of_draws - means[patient]).abs().idxmin()
        word = f"largest {kind}" if true else f"smallest {'loss' if kind == 'gain' else 'gain'}"
        found.append(Pictured(word, method, labelled, patient, int(draw), means[patient], of_draws[draw]))
    return found


@styled
def _draw(study: Study, found: Pictured) -> Drawing:
    tasks = {name: _cell(study, name, found) for name in (study.reference, found.method)}
    case = next(case for case in tasks[found.method].scored if case["patient"] == found.patient)
    files = {
        name: find_predictions(task.scored, study.folder / task.name)[image_file(case)] for name, task in tasks.items()
    }
    classes = list(study.plan.classes.values())
    axis = int(study.plan.settings.get("slice_axis", 2))
    image, maps, aspect = _slices(case, list(files.values()), axis, len(classes))
    ratio = min(max(image.shape[1] * aspect / image.shape[0], 0.5), 1.6)
    figure, axes = new_figure(WIDTH * ratio + 0.8, 2, 2)
    titles = ["image", "reference", *(wrap(name, 28) for name in tasks)]
    for cells, title, labels in zip(axes.flat, titles, [None, *maps], strict=True):
        show_image(cells, image, aspect=aspect)
        if labels is not None:
            show_image(cells, painted(labels), interpolation="nearest", aspect=aspect)
        cells.set_title(title, fontsize=8.5)
    add_class_legend(figure, set(np.unique(maps).tolist()) - {0}, classes)
    caption = (
        f"Dice of {found.patient}: {found.gain:+.3f} in the mean over draws, {found.gain_of_draw:+.3f} in draw "
        f"{found.draw}, which is shown: the slice with the largest labeled area, cut to the surroundings of the masks."
    )
    name, title = f"overlay_{found.kind.replace(' ', '_')}", f"{found.kind.capitalize()}: {found.patient}"
    return Drawing(name, title, caption, figure, photographic=True)


def _cell(study: Study, shown: str, found: Pictured) -> Task:
    """The cell of a method's first seed that tested the patient."""
    for task in study.finetuned:
        facts: dict[str, Any] = task.facts
        here = study.shown.get(facts["method"]), facts["labelled"], facts["draw"]
        patients = {case["patient"] for case in task.scored}
        if here == (shown, found.labelled, found.draw) and found.patient in patients:
            return task
    raise FileNotFoundError(f"{study.folder} has no cell of {shown} with {found.labelled} labeled patients")


def _slices(case: Case, predictions: list[Path], axis: int, classes: int) -> tuple[np.ndarray, list[np.ndarray], float]:
    """The slice with the largest labeled area: the image (H, W), label and predictions (H, W), step up over across."""
    image = LoadCased(["image"])({"image": image_file(case)})["image"][0].numpy()  # the first channel
    aligned = [aligned_labels(case, file, classes + 1) for file in predictions]
    volumes = [image, aligned[0][1], *(prediction for prediction, _, _ in aligned)]
    if len({volume.shape for volume in volumes}) > 1:
        raise ValueError(f"image, label and predictions of {image_file(case)} have the shapes "
                         f"{', '.join(str(volume.shape) for volume in volumes)}")  # fmt: skip
    moved = [np.moveaxis(volume, axis, 0) for volume in volumes]
    index = int((moved[1] > 0).sum((1, 2)).argmax())
    picture, *maps = (volume[index] for volume in moved)
    found = np.any(maps, axis=0)[None]
    margin = [math.ceil(MARGIN * size) for size in picture.shape]
    start, end = generate_spatial_bounding_box(found, margin=margin, allow_smaller=True)
    window = tuple(slice(low, high) for low, high in zip(start, end, strict=True)) if found.any() else ()
    steps = list(aligned[0][2])
    del steps[axis]
    return picture[window].astype(np.float32), [labels[window] for labels in maps], steps[1] / steps[0]

# SPDX-License-Identifier: Apache-2.0
"""segmentation_scores against voxels compared one by one."""

import itertools
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_cl_ext.metrics import segmentation_scores

SCORES = ("dice", "jaccard", "hd95", "asd")


def surface(mask):
    """Voxels of the mask with a face neighbor outside it; beyond the array everything is outside."""
    inside = {tuple(voxel) for voxel in np.argwhere(mask).tolist()}
    found = []
    for voxel in sorted(inside):
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            neighbor = list(voxel)
            neighbor[axis] += step
            if tuple(neighbor) not in inside:
                found.append(voxel)
                break
    return found


def percentile_95(values):
    values = sorted(values)
    place = 0.95 * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def oracle(prediction, reference, num_classes, spacing):
    rows = []
    for label in range(1, num_classes):
        p, r = prediction == label, reference == label
        size_p, size_r, both = 0, 0, 0
        for voxel in np.ndindex(p.shape):
            size_p, size_r, both = size_p + int(p[voxel]), size_r + int(r[voxel]), both + int(p[voxel] and r[voxel])
        if size_p == 0 and size_r == 0:
            rows.append([math.nan] * 4)
        elif size_p == 0 or size_r == 0:
            diagonal = math.sqrt(sum((n * s) ** 2 for n, s in zip(p.shape, spacing, strict=True)))
            rows.append([0.0, 0.0, diagonal, diagonal])
        else:
            a, b = surface(p), surface(r)

            def nearest(voxel, others):
                return min(
                    math.sqrt(sum(((x - y) * s) ** 2 for x, y, s in zip(voxel, other, spacing, strict=True)))
                    for other in others
                )

            there, back = [nearest(v, b) for v in a], [nearest(v, a) for v in b]
            dice, jaccard = 2 * both / (size_p + size_r), both / (size_p + size_r - both)
            rows.append([dice, jaccard, percentile_95(there + back), sum(there) / len(there)])
    return {name: [row[column] for row in rows] for column, name in enumerate(SCORES)}


def blobs(shape, num_classes, generator):
    """Random label map with solid parts, so that surfaces differ from masks."""
    labels = np.zeros(shape, dtype=np.int64)
    for label in range(1, num_classes):
        start = [int(generator.integers(0, max(1, size - 1))) for size in shape]
        stop = [int(generator.integers(low + 1, size + 1)) for low, size in zip(start, shape, strict=True)]
        labels[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = label
    noise = generator.random(shape) < 0.06
    labels[noise] = generator.integers(0, num_classes, size=int(noise.sum()))
    return labels


@pytest.mark.parametrize(
    "shape,spacing",
    [((11,), (0.7,)), ((9, 12), None), ((10, 7), (1.3, 0.4)), ((7, 6, 5), (0.9, 1.7, 5.0)), ((5, 6, 1), None)],
)
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definitions_written_out(shape, spacing, seed):
    generator = np.random.default_rng(seed)
    prediction, reference = blobs(shape, 4, generator), blobs(shape, 4, generator)
    if seed == 3:
        prediction[prediction == 2] = 0  # missed, if the reference has it
    expected = oracle(prediction, reference, 4, spacing or (1.0,) * len(shape))
    scores = segmentation_scores(prediction, reference, 4, spacing)
    assert tuple(scores) == SCORES
    for name in SCORES:
        assert scores[name].dtype == torch.float64 and scores[name].shape == (3,)
        np.testing.assert_allclose(scores[name].numpy(), expected[name], rtol=1e-12, atol=1e-12, err_msg=name)


def test_directions_and_pooling_on_a_line():
    # surfaces at 0, 1 (prediction) and at 0 ... 9 (reference: one voxel thick, so all of it)
    prediction, reference = np.zeros((1, 20), int), np.zeros((1, 20), int)
    prediction[0, :2], reference[0, :10] = 1, 1
    scores = segmentation_scores(prediction, reference, 2, spacing=(5.0, 2.0))
    assert scores["asd"].item() == 0  # the way back would give 2 * (1 + ... + 8) / 10
    assert scores["hd95"].item() == pytest.approx(2 * (7 + 0.45))  # of 0 x 4, 1 ... 8: place 0.95 * 11 = 10.45
    assert segmentation_scores(reference, prediction, 2, (5.0, 2.0))["asd"].item() == pytest.approx(2 * 36 / 10)
    assert segmentation_scores(reference, prediction, 2, (5.0, 2.0))["hd95"] == scores["hd95"]


def test_one_spacing_serves_all_axes_and_bfloat16_holds_labels():
    prediction, reference = torch.zeros(2, 8, 8)
    prediction[2:5, 2:5], reference[3:6, 1:6] = 1, 1
    expected = segmentation_scores(prediction, reference, 2, spacing=(2.0, 2.0))
    found = segmentation_scores(prediction.bfloat16(), reference.bfloat16(), 2, spacing=2.0)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_empty_masks():
    prediction, reference = torch.zeros(3, 4, dtype=torch.uint8), torch.zeros(3, 4, dtype=torch.uint8)
    prediction[0, 0], reference[1, 1] = 1, 2
    scores = segmentation_scores(prediction, reference, 4, (2.0, 1.0))
    diagonal = math.sqrt(36 + 16)
    assert scores["dice"][:2].tolist() == scores["jaccard"][:2].tolist() == [0, 0]
    assert scores["hd95"][:2].tolist() == scores["asd"][:2].tolist() == pytest.approx([diagonal] * 2)
    assert all(math.isnan(scores[name][2]) for name in SCORES)


def test_identical_masks_and_far_corners():
    labels = blobs((8, 9, 7), 3, np.random.default_rng(0))
    scores = segmentation_scores(labels, labels, 3, (1.0, 2.0, 3.0))
    assert [scores[name].tolist() for name in SCORES] == [[1, 1], [1, 1], [0, 0], [0, 0]]
    one, other = np.zeros((30, 30), int), np.zeros((30, 30), int)
    one[0, 0], other[29, 29] = 1, 1
    scores = segmentation_scores(one, other, 2)
    assert scores["hd95"].item() == scores["asd"].item() == pytest.approx(29 * math.sqrt(2))


@pytest.mark.parametrize("kind", [np.uint8, np.float32, bool, torch.float32, torch.int32, MetaTensor])
def test_kinds_of_arrays(kind):
    generator = np.random.default_rng(1)
    arrays = [generator.integers(0, 2, (6, 6)) for _ in range(2)]
    if isinstance(kind, torch.dtype):
        given = [torch.as_tensor(array).to(kind) for array in arrays]
    else:
        given = [kind(array) if kind is MetaTensor else array.astype(kind) for array in arrays]
    expected = segmentation_scores(*arrays, 2)
    for name, values in segmentation_scores(*given, 2).items():
        assert type(values) is torch.Tensor and torch.equal(values, expected[name])


def test_bad_input_is_named():
    good = np.zeros((4, 5), int)
    cases = [
        ((good, np.zeros((5, 4), int), 2), {}, r"one shape, found \(4, 5\) and \(5, 4\)"),
        ((good + 0.5, good, 2), {}, "prediction must hold whole labels"),
        ((good, good * np.nan, 2), {}, "reference must hold whole labels"),
        ((good, good + 2, 2), {}, r"reference must hold labels from 0 to 1 \(num_classes=2\), found 2 to 2"),
        ((good - 1, good, 2), {}, "prediction must hold labels"),
        ((good, good, 1), {}, "at least 2, found 1"),
        ((good, good, 2), {"spacing": (1.0, 1.0, 1.0)}, "each of the 2 axes of the labels, found 3"),
        ((good, good, 2), {"spacing": (1.0, 0.0)}, "spacing must be a finite number above 0"),
        ((np.zeros((0, 3)), np.zeros((0, 3)), 2), {}, "prediction must be an array of labels"),
    ]
    for arguments, more, message in cases:
        with pytest.raises(ValueError, match=message):
            segmentation_scores(*arguments, **more)


def test_agrees_with_monai_on_a_real_label():
    from monai.metrics import DiceMetric, SurfaceDistanceMetric

    folder = Path(os.environ.get("MONAI_DATA_DIRECTORY", Path(__file__).parents[3] / "shared" / "data"))
    path = folder / "ACDC" / "labelsTr" / "patient002_frame01.nii.gz"
    if not path.is_file():
        pytest.skip(f"{path} is absent: set MONAI_DATA_DIRECTORY")
    nibabel = pytest.importorskip("nibabel")
    reference = torch.as_tensor(np.asarray(nibabel.load(path).dataobj).astype(np.int64))
    prediction = reference.roll((3, -2), (0, 1))
    spacing = (1.4, 1.3, 10.0)
    scores = segmentation_scores(prediction, reference, 4, spacing)
    masks = [torch.nn.functional.one_hot(labels, 4).movedim(-1, 0)[None] for labels in (prediction, reference)]
    dice = DiceMetric(include_background=False, reduction="none")(*masks)[0]
    torch.testing.assert_close(scores["dice"], dice.double(), rtol=1e-6, atol=0)
    surface_distance = SurfaceDistanceMetric(distance_metric="euclidean")(*masks, spacing=spacing)[0]
    torch.testing.assert_close(scores["asd"], surface_distance.double(), rtol=1e-6, atol=0)

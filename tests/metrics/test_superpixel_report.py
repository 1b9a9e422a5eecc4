# SPDX-License-Identifier: Apache-2.0
"""The report on superpixel maps, against figures worked out by hand."""

import math

import numpy as np
import pytest
import torch
from skimage.segmentation import find_boundaries

from monai_cl_ext.metrics import superpixel_report

# Two segments of 2 x 6; the reference's border lies one column to the right of theirs.
HALVES = torch.tensor([[[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1]]])
SHIFTED = torch.tensor([[[5, 5, 5, 5, 7, 7], [5, 5, 5, 5, 7, 7]]])


def values(report: dict[str, torch.Tensor]) -> dict[str, float]:
    assert all(value.shape == (1,) and value.dtype == torch.float64 for value in report.values())
    return {name: value.item() for name, value in report.items()}


def test_equal_partitions_are_perfect_whatever_the_numbers():
    found = values(superpixel_report(HALVES, HALVES * 3 + 2, tolerance=0))
    assert found == {
        "segments": 2,
        "smallest": 6,
        "median": 6,
        "largest": 6,
        "achievable_accuracy": 1,
        "boundary_recall": 1,
        "undersegmentation_error": 0,
    }


def test_a_border_beside_the_reference_s():
    """Segment 1 has 2 pixels of label 5 and 4 of label 7; boundary columns are 2, 3 and, in the reference, 3, 4."""
    found = values(superpixel_report(HALVES, SHIFTED, tolerance=0))
    assert found["achievable_accuracy"] == pytest.approx(10 / 12)
    assert found["boundary_recall"] == pytest.approx(2 / 4)
    assert found["undersegmentation_error"] == pytest.approx((2 + 2) / 12)  # once under label 5, once under label 7
    assert values(superpixel_report(HALVES, SHIFTED, tolerance=1))["boundary_recall"] == 1


def test_tolerance_reaches_along_the_diagonal_and_no_farther():
    maps, reference = torch.zeros(1, 9, 9), torch.zeros(1, 9, 9)
    maps[0, :2, :2] = 1  # its boundary pixels are (0..2, 1), (1, 0..2), (0, 2), (2, 0): the corner (2, 2) is none
    reference[0, 3:, 3:] = 1
    assert values(superpixel_report(maps, reference, tolerance=0))["boundary_recall"] == 0
    wanted = find_boundaries(reference[0].numpy().astype(int), connectivity=1, mode="thick")
    theirs = find_boundaries(maps[0].numpy().astype(int), connectivity=1, mode="thick")
    for tolerance in (1, 2, 3):
        pixels = list(zip(*np.nonzero(wanted), strict=True))
        hits = sum(
            any(max(abs(a - c), abs(b - d)) <= tolerance for c, d in zip(*np.nonzero(theirs), strict=True))
            for a, b in pixels
        )
        found = values(superpixel_report(maps, reference, tolerance))["boundary_recall"]
        assert found == pytest.approx(hits / len(pixels)) and 0 < found < 1


def test_one_segment_over_three_labels():
    reference = torch.tensor([[[0, 0, 0, 0, 0, 1, 1, 1, 2, 2]]])
    found = values(superpixel_report(torch.zeros(1, 1, 10), reference))
    assert found["achievable_accuracy"] == pytest.approx(0.5)
    assert found["boundary_recall"] == 0
    assert found["undersegmentation_error"] == pytest.approx((5 + 3 + 2) / 10)


def test_sizes_and_a_reference_without_borders():
    found = values(superpixel_report(torch.tensor([[[0, 0, 0, 0, 4, 9]]]), torch.zeros(1, 1, 6)))
    assert (found["segments"], found["smallest"], found["median"], found["largest"]) == (3, 1, 1, 4)
    assert math.isnan(found["boundary_recall"]) and found["achievable_accuracy"] == 1


def test_volumes_and_batches():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(4, (3, 5, 6, 4), generator=generator)
    reference = torch.randint(2, (3, 5, 6, 4), generator=generator)
    found = superpixel_report(maps.numpy(), reference)
    for index in range(3):
        one = superpixel_report(maps[index, None], reference[index, None].numpy())
        assert all(torch.equal(found[name][index, None], one[name]) for name in found)
        expected = sum(
            max(int(((maps[index] == segment) & (reference[index] == label)).sum()) for label in range(2))
            for segment in range(4)
        )
        assert one["achievable_accuracy"].item() == pytest.approx(expected / 120)


@pytest.mark.parametrize(
    ("maps", "reference", "tolerance", "message"),
    [
        (HALVES, HALVES[:, None], 1, "one shape"),
        (HALVES + 0.5, HALVES, 1, "maps must hold whole labels"),
        (HALVES, HALVES * torch.nan, 1, "reference_labels must hold whole labels"),
        (HALVES[:0], HALVES[:0], 1, "not empty"),
        (HALVES, HALVES, -1, "tolerance"),
        (HALVES, HALVES, 1.0, "tolerance"),
    ],
)
def test_bad_input_is_refused(maps, reference, tolerance, message):
    with pytest.raises(ValueError, match=message):
        superpixel_report(maps, reference, tolerance)

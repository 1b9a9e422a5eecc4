# SPDX-License-Identifier: Apache-2.0
"""Random boxes: sides, places, how many, and what they follow from."""

import pytest
import torch

from monai_cl_ext import seeds
from monai_cl_ext.methods import RandomBoxes
from monai_cl_ext.methods.random_boxes import box_masks
from monai_cl_ext.transforms import PrepareViews, identity_policy

SIZES = pytest.mark.parametrize("size", [(16, 24), (12, 16, 9)], ids=["2D", "3D"])


def drawn(boxes, size, count=2000):
    """First voxels and sides of many boxes."""
    first, behind = boxes.make_params(count, size).unbind(1)
    return first, behind - first


@SIZES
def test_a_mask_is_0_in_its_box_and_1_outside(size):
    corners = RandomBoxes(0.2, 0.8).make_params(3, size)
    expected = torch.ones(3, 1, *size)
    for row, (first, behind) in enumerate(corners.tolist()):
        expected[(row, 0, *map(slice, first, behind))] = 0
    assert torch.equal(box_masks(corners, size).float(), expected) and 0 < expected.mean() < 1
    found = RandomBoxes(0.2, 0.8)(torch.rand(3, 2, *size, dtype=torch.float64))
    assert torch.equal(found, expected.double()) and found.dtype == torch.float64


@SIZES
def test_sides_lie_between_the_two_and_boxes_in_the_image(size):
    first, side = drawn(RandomBoxes(0.25, 0.75), size)
    for axis, length in enumerate(size):
        sides, firsts = side[:, axis], first[:, axis]
        assert sides.min() == int(0.25 * length) and sides.max() == int(0.75 * length - 1e-3)
        assert firsts.min() == 0 and (firsts + sides).max() == length, "every place is reached, none beyond"
        assert sides.double().mean().item() == pytest.approx(0.5 * length - 0.5, abs=0.05 * length)
    assert torch.corrcoef(side.T.double()).triu(1).abs().max() < 0.1, "the sides of one box are drawn apart"


def test_places_of_a_box_are_equally_likely():
    first, _ = drawn(RandomBoxes(0.5, 0.5), (8,), 5000)
    share = torch.bincount(first.flatten(), minlength=5) / 5000
    assert share.tolist() == pytest.approx([0.2] * 5, abs=0.03)


@pytest.mark.parametrize("length, side", [(256, 170), (96, 64), (9, 6), (64, 42), (3, 2)])
def test_two_thirds_are_those_of_the_paper(length, side):
    """int(2 / 3 * length), of whole thirds the third itself."""
    _, sides = drawn(RandomBoxes(2 / 3, 2 / 3), (length, length), 50)
    assert sides.unique().tolist() == [side]


def test_a_box_may_be_the_whole_image():
    assert not RandomBoxes(1.0, 1.0)(torch.rand(5, 1, 7, 6)).any()


def test_shared_is_one_box_for_all_rows():
    image = torch.rand(4, 1, 16, 16)
    assert RandomBoxes(0.5, 0.5, shared=True)(image).shape == (1, 1, 16, 16)
    own = RandomBoxes(0.5, 0.5)(image)
    assert own.shape == (4, 1, 16, 16) and len(own.flatten(1).unique(dim=0)) > 1


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_a_box_is_there_with_its_probability(probability):
    _, side = drawn(RandomBoxes(0.5, 0.5, probability=probability), (8, 8))
    assert torch.equal(side.amin(1), side.amax(1)), "a box is there along all axes or none"
    assert (side[:, 0] > 0).double().mean().item() == pytest.approx(probability, abs=0.04)
    without = RandomBoxes(0.5, 0.5, probability=0.0)(torch.rand(3, 1, 8, 8))
    assert torch.equal(without, torch.ones(3, 1, 8, 8))


def test_draws_are_a_function_of_seed_rank_and_epoch(monkeypatch):
    first, again, later, other = (RandomBoxes(0.2, 0.8, seed=seed) for seed in (5, 5, 5, 6))
    first.make_params(6, (64, 64))  # what was drawn before an epoch began leaves no trace in it
    for boxes, epoch in ((first, 3), (again, 3), (later, 4), (other, 3)):
        boxes.set_epoch(epoch)
    one, two = first.make_params(6, (64, 64)), first.make_params(6, (64, 64))
    assert torch.equal(one, again.make_params(6, (64, 64))) and torch.equal(two, again.make_params(6, (64, 64)))
    monkeypatch.setattr(seeds, "rank", lambda: 1)
    second_process = RandomBoxes(0.2, 0.8, seed=5)
    second_process.set_epoch(3)
    for boxes in (later, other, second_process):
        assert not torch.equal(one, boxes.make_params(6, (64, 64)))
    assert not torch.equal(one, two)


def test_the_draws_are_not_those_of_the_views():
    views = PrepareViews([identity_policy()])
    assert RandomBoxes(0.5, 0.5).generator().initial_seed() != views.generator().initial_seed()


@pytest.mark.gpu
def test_cuda_draws_as_the_cpu():
    image = torch.rand(3, 1, 16, 16)
    torch.testing.assert_close(RandomBoxes(0.2, 0.8)(image.cuda()).cpu(), RandomBoxes(0.2, 0.8)(image))


@pytest.mark.parametrize(
    "smallest, largest, message",
    [
        (0.6, 0.5, "smallest <= largest <= 1, found 0.6, 0.5"),
        (0.5, 1.5, "smallest <= largest <= 1, found 0.5, 1.5"),
        (0, 0.5, "smallest must be a finite number above 0, found 0"),
    ],
)
def test_sides_without_meaning_are_refused(smallest, largest, message):
    with pytest.raises(ValueError, match=message):
        RandomBoxes(smallest, largest)
    with pytest.raises(ValueError, match="probability must be a number from 0 to 1, found 2"):
        RandomBoxes(0.5, 0.5, probability=2)

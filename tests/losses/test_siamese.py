# SPDX-License-Identifier: Apache-2.0
"""Losses without negative pairs: their formulas by loops, their gradients, and what they refuse."""

import math

import pytest
import torch
from contrast_oracles import rows

from monai_cl_ext.losses import BYOLLoss, SimSiamLoss, SimTripletLoss


def cosine(a, b):
    """Of two vectors, by loops."""
    a, b = a.tolist(), b.tolist()
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(x * x for x in b))


def mean_cosine(a, b):
    return sum(cosine(first, second) for first, second in zip(a, b, strict=True)) / len(a)


def test_byol_is_the_squared_distance_of_normalized_vectors_both_ways():
    p1, z2, p2, z1 = rows(4, 5, 3)
    expected = (2 - 2 * mean_cosine(p1, z2)) + (2 - 2 * mean_cosine(p2, z1))
    assert BYOLLoss()(p1, z2, p2, z1).item() == pytest.approx(expected, abs=1e-12)


def test_simsiam_is_the_mean_of_both_ways():
    p1, z2, p2, z1 = rows(4, 5, 3)
    expected = -(mean_cosine(p1, z2) + mean_cosine(p2, z1)) / 2
    assert SimSiamLoss()(p1, z2, p2, z1).item() == pytest.approx(expected, abs=1e-12)


def test_simtriplet_is_half_of_the_sum_of_two_pairs_in_its_own_order_of_arguments():
    p1, z1, p2, z2, p3, z3 = rows(6, 5, 3)
    pairs = mean_cosine(p1, z2) + mean_cosine(p2, z1) + mean_cosine(p1, z3) + mean_cosine(p3, z1)
    assert SimTripletLoss()(p1, z1, p2, z2, p3, z3).item() == pytest.approx(-pairs / 2, abs=1e-12)


@pytest.mark.parametrize("loss, fixed", [(BYOLLoss(), (1, 3)), (SimSiamLoss(), (1, 3)), (SimTripletLoss(), (1, 3, 5))])
def test_predictions_alone_get_a_gradient(loss, fixed):
    count = 2 * len(fixed)
    given = [row.detach().requires_grad_() for row in rows(count, 4, 3)]
    loss(*given).backward()
    assert [place for place, row in enumerate(given) if row.grad is None] == list(fixed)
    targets = {place: given[place].detach() for place in fixed}
    free = [given[place] for place in range(count) if place not in fixed]

    def of_predictions(*predictions):
        left = iter(predictions)
        return loss(*(targets[place] if place in targets else next(left) for place in range(count)))

    assert torch.autograd.gradcheck(of_predictions, free)


@pytest.mark.parametrize("loss, count", [(BYOLLoss(), 4), (SimSiamLoss(), 4), (SimTripletLoss(), 6)])
def test_scale_changes_nothing_and_half_precision_is_computed_in_float32(loss, count):
    given = rows(count, 4, 3).detach()
    scales = torch.tensor([1e-10, 3, 40, 7, 0.5, 11])[:count, None, None].double()
    torch.testing.assert_close(loss(*given * scales), loss(*given))
    half = given.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(*half)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(*half.float()))


@pytest.mark.parametrize("loss, count", [(BYOLLoss(), 4), (SimSiamLoss(), 4), (SimTripletLoss(), 6)])
def test_other_shapes_are_refused(loss, count):
    given = list(rows(count, 4, 3).detach())
    given[2] = given[2][:3]
    with pytest.raises(ValueError, match=r"must all be \(B, D\) of one shape, found .*p2 \(3, 3\)"):
        loss(*given)

# SPDX-License-Identifier: Apache-2.0
"""Dual-task consistency: the formula, both gradients, precision, refused shapes."""

import pytest
import torch
from segmentation_oracles import dual_task

from monai_cl_ext.losses import DualTaskConsistencyLoss

GENERATOR = torch.Generator().manual_seed(0)


def pair(size=(4, 5), classes=3, width=0.002):
    """Distances so near to 0 that the step is no step, and logits."""
    distance = width * torch.randn(2, classes - 1, *size, dtype=torch.float64, generator=GENERATOR)
    logits = 2 * torch.randn(2, classes, *size, dtype=torch.float64, generator=GENERATOR)
    return distance.requires_grad_(), logits.requires_grad_()


@pytest.mark.parametrize("size", [(7,), (4, 5), (2, 3, 3)], ids=["1D", "2D", "3D"])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("k", [1500.0, 30.0])
def test_value_and_gradients_are_those_of_the_formula(size, classes, k):
    given = pair(size, classes, 3 / k)
    found, expected = DualTaskConsistencyLoss(k)(*given), dual_task(*given, k)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for gradient, wanted in zip(*(torch.autograd.grad(loss, given) for loss in (found, expected)), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-10)
        assert wanted.abs().max() > 1e-4


def test_the_steepness_of_the_paper_is_the_default():
    given = pair()
    assert torch.equal(DualTaskConsistencyLoss()(*given), DualTaskConsistencyLoss(1500)(*given))


def test_a_shape_and_its_distances_agree():
    """The sign counts: turned distances disagree everywhere."""
    distance = torch.tensor([[[-0.5, -0.1, 0.2, 0.9]]])
    logits = 30 * torch.tensor([[[-1.0, -1.0, 1.0, 1.0], [1.0, 1.0, -1.0, -1.0]]])
    loss = DualTaskConsistencyLoss()
    assert loss(distance, logits) < 1e-12 and loss(-distance, logits) > 0.999


def test_gradcheck():
    assert torch.autograd.gradcheck(DualTaskConsistencyLoss(20), pair((2, 2), width=0.1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_computed_in_float32(dtype, autocast):
    half = [each.detach().to(dtype).requires_grad_() for each in pair((64, 64))]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = DualTaskConsistencyLoss()(*half)
    found.backward()
    wide = [each.detach().double().requires_grad_() for each in half]
    expected = DualTaskConsistencyLoss()(*wide)
    expected.backward()
    assert found.dtype == torch.float32 and found.item() == pytest.approx(expected.item(), rel=1e-5)
    for narrow, each in zip(half, wide, strict=True):
        torch.testing.assert_close(narrow.grad.double(), each.grad, rtol=1e-2, atol=1e-6)


def test_bad_arguments_are_named():
    distance, logits = pair()
    with pytest.raises(ValueError, match=r"signed_distance must be \(2, 2, 4, 5\) for logits .*, found \(2, 1, 4, 5\)"):
        DualTaskConsistencyLoss()(distance[:, :1], logits)
    with pytest.raises(ValueError, match="with C >= 2 classes"):
        DualTaskConsistencyLoss()(distance[:, :1], logits[:, :1])
    with pytest.raises(ValueError, match="k must be a finite number above 0, found 0"):
        DualTaskConsistencyLoss(0)

# SPDX-License-Identifier: Apache-2.0
"""Consistency of scales: the formula, extreme logits, precision, refused shapes."""

import pytest
import torch
from segmentation_oracles import pyramid_consistency

from monai_cl_ext.losses import PyramidConsistencyLoss

GENERATOR = torch.Generator().manual_seed(0)
LOSS = PyramidConsistencyLoss()


def maps(scales=4, size=(4, 5), classes=3):
    shape = (2, classes, *size)
    return [(2 * torch.randn(shape, dtype=torch.float64, generator=GENERATOR)).requires_grad_() for _ in range(scales)]


@pytest.mark.parametrize("size", [(7,), (4, 5), (2, 3, 3)], ids=["1D", "2D", "3D"])
@pytest.mark.parametrize("scales, classes", [(2, 4), (4, 2), (3, 3)])
def test_value_and_gradient_are_those_of_the_formula(size, scales, classes):
    logits = maps(scales, size, classes)
    found, expected = LOSS(logits), pyramid_consistency(logits)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for gradient, wanted in zip(*(torch.autograd.grad(loss, logits) for loss in (found, expected)), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-12)
        assert wanted.abs().max() > 1e-3


def test_scales_that_agree_cost_nothing():
    (logits,) = maps(1)
    loss = LOSS([logits, logits + 1, logits.clone()])
    assert loss.item() == pytest.approx(0, abs=1e-15)


def test_the_order_of_scales_says_nothing():
    first, second, third = maps(3)
    torch.testing.assert_close(LOSS([first, second, third]), LOSS([third, first, second]), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_certain_scales_that_contradict_each_other_give_finite_gradients(dtype):
    """Where a probability is 0 in this precision, its logarithm is none."""
    logits = [torch.zeros(1, 3, 4, 4, dtype=dtype) for _ in range(2)]
    logits[0][:, 0], logits[1][:, 1] = 2000, 2000
    logits = [each.requires_grad_() for each in logits]
    loss = LOSS(logits)
    assert loss.isfinite() and loss > 100
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, logits))


def test_gradcheck():
    assert torch.autograd.gradcheck(lambda *logits: LOSS(logits), maps(3, (2, 2)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_computed_in_float32(dtype, autocast):
    half = [each.detach().to(dtype).requires_grad_() for each in maps(3, (64, 64))]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = LOSS(half)
    found.backward()
    wide = [each.detach().double().requires_grad_() for each in half]
    expected = LOSS(wide)
    expected.backward()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    for narrow, logits in zip(half, wide, strict=True):
        torch.testing.assert_close(narrow.grad.double(), logits.grad, rtol=1e-2, atol=1e-6)


def test_bad_shapes_are_named():
    first, second = maps(2)
    with pytest.raises(ValueError, match=r"at least two maps of one shape, found \[\(2, 3, 4, 5\)\]"):
        LOSS([first])
    with pytest.raises(ValueError, match=r"found \[\(2, 3, 4, 5\), \(2, 3, 2, 5\)\]: resize them"):
        LOSS([first, second[:, :, :2]])
    with pytest.raises(ValueError, match="with C >= 2 classes"):
        LOSS([first[:, :1], second[:, :1]])

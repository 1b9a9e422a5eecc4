# SPDX-License-Identifier: Apache-2.0
"""Sharpening and mutual consistency: the formulas, extreme temperatures, gradients of targets, precision."""

import pytest
import torch
from segmentation_oracles import mutual_consistency, sharpened

from monai_cl_ext.losses import MutualConsistencyLoss, sharpen

GENERATOR = torch.Generator().manual_seed(0)


def maps(count=3, size=(4, 5), classes=3):
    shape = (2, classes, *size)
    return [torch.randn(shape, dtype=torch.float64, generator=GENERATOR).requires_grad_() for _ in range(count)]


@pytest.mark.parametrize("size", [(7,), (4, 5), (2, 3, 3)], ids=["1D", "2D", "3D"])
@pytest.mark.parametrize("count, classes, temperature", [(2, 4, 0.1), (3, 2, 0.5), (3, 3, 0.1)])
def test_value_and_gradient_are_those_of_the_formula(size, count, classes, temperature):
    """The gradient of the targets too, which the release does not stop."""
    logits = maps(count, size, classes)
    found, expected = MutualConsistencyLoss(temperature)(logits), mutual_consistency(logits, temperature)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for gradient, wanted in zip(*(torch.autograd.grad(loss, logits) for loss in (found, expected)), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-12)
        assert wanted.abs().max() > 1e-4


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 3.0])
def test_sharpening_is_the_formula(temperature):
    p = maps(1)[0].softmax(1)
    torch.testing.assert_close(sharpen(p, temperature), sharpened(p, temperature), rtol=0, atol=1e-14)
    powers = p ** (1 / temperature)
    found = sharpen(p, temperature, renormalize=True)
    torch.testing.assert_close(found, powers / powers.sum(1, keepdim=True), rtol=0, atol=1e-14)
    torch.testing.assert_close(found.sum(1), torch.ones_like(found.sum(1)), rtol=0, atol=1e-12)


def test_sharpening_goes_towards_0_and_1():
    p = torch.tensor([0.1, 0.49, 0.5, 0.51, 0.9]).view(1, 5, 1)
    found = sharpen(p).flatten()
    assert (found[:2] < p.flatten()[:2]).all() and found[2] == 0.5 and (found[3:] > p.flatten()[3:]).all()
    torch.testing.assert_close(sharpen(p, 1.0), p)


@pytest.mark.parametrize("renormalize", [False, True])
def test_no_temperature_and_no_probability_gives_nan(renormalize):
    """Powers of small numbers vanish: three equal classes at a temperature of 0.001 have none left."""
    p = torch.tensor([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0], [1 - 1e-7, 1e-7, 0]]).view(4, 3, 1)
    for temperature in (0.1, 0.001):
        probabilities = p.clone().requires_grad_()
        found = sharpen(probabilities, temperature, renormalize)
        (gradient,) = torch.autograd.grad(found.square().sum(), probabilities)
        assert found.isfinite().all() and gradient.isfinite().all()
        assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("renormalize", [False, True])
def test_gradcheck_of_sharpening(renormalize):
    p = maps(1, (2, 2))[0].detach().softmax(1).requires_grad_()
    assert torch.autograd.gradcheck(lambda each: sharpen(each, 0.3, renormalize), p)


def test_gradcheck():
    assert torch.autograd.gradcheck(lambda *logits: MutualConsistencyLoss(0.3)(logits), maps(3, (2, 2)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_computed_in_float32(dtype, autocast):
    loss, half = MutualConsistencyLoss(), [each.detach().to(dtype).requires_grad_() for each in maps(3, (64, 64))]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = loss(half)
    found.backward()
    wide = [each.detach().double().requires_grad_() for each in half]
    expected = loss(wide)
    expected.backward()
    assert found.dtype == torch.float32 and sharpen(half[0].detach().softmax(1)).dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    for narrow, logits in zip(half, wide, strict=True):
        torch.testing.assert_close(narrow.grad.double(), logits.grad, rtol=1e-2, atol=1e-6)


def test_bad_arguments_are_named():
    first, second = maps(2)
    with pytest.raises(ValueError, match=r"at least two maps of one shape, found \[\(2, 3, 4, 5\)\]"):
        MutualConsistencyLoss()([first])
    with pytest.raises(ValueError, match=r"found \[\(2, 3, 4, 5\), \(2, 3, 2, 5\)\]: resize them"):
        MutualConsistencyLoss()([first, second[:, :, :2]])
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="temperature must be a finite number above 0"):
            MutualConsistencyLoss(wrong)
        with pytest.raises(ValueError, match="temperature must be a finite number above 0"):
            sharpen(first.softmax(1), wrong)

# SPDX-License-Identifier: Apache-2.0
"""Cross pseudo-supervision: the formula, detached classes, precision, refused shapes."""

import pytest
import torch
from segmentation_oracles import cross_pseudo_supervision
from torch.nn.functional import cross_entropy

from monai_cl_ext.losses import CrossPseudoSupervisionLoss

GENERATOR = torch.Generator().manual_seed(0)
LOSS = CrossPseudoSupervisionLoss()


def pair(size=(4, 5), classes=3):
    shape = (2, classes, *size)
    return [(3 * torch.randn(shape, dtype=torch.float64, generator=GENERATOR)).requires_grad_() for _ in range(2)]


@pytest.mark.parametrize("size", [(7,), (4, 5), (2, 3, 3)], ids=["1D", "2D", "3D"])
@pytest.mark.parametrize("classes", [2, 4])
def test_value_and_gradient_are_those_of_the_formula(size, classes):
    logits = pair(size, classes)
    found, expected = LOSS(*logits), cross_pseudo_supervision(*logits)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for gradient, wanted in zip(*(torch.autograd.grad(loss, logits) for loss in (found, expected)), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-12)
        assert wanted.abs().max() > 1e-3


def test_it_is_symmetric():
    first, second = pair()
    torch.testing.assert_close(LOSS(first, second), LOSS(second, first), rtol=0, atol=1e-14)


def test_no_network_gets_a_gradient_from_the_classes_that_it_gives():
    """With the first detached what is left is its classes' loss of the second, and nothing else of the second."""
    first, second = pair()
    (gradient,) = torch.autograd.grad(LOSS(first.detach(), second), second)
    (wanted,) = torch.autograd.grad(cross_entropy(second, first.detach().argmax(1)), second)
    torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-14)
    assert torch.equal(*(torch.autograd.grad(LOSS(first, other), first)[0] for other in (second, second.detach())))


def test_gradcheck():
    assert torch.autograd.gradcheck(LOSS, pair((2, 2)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_computed_in_float32(dtype, autocast):
    """Of 64 x 64 voxels the sum alone is beyond what these types hold exactly."""
    half = [logits.detach().to(dtype).requires_grad_() for logits in pair((64, 64))]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = LOSS(*half)
    found.backward()
    wide = [logits.detach().double().requires_grad_() for logits in half]
    expected = LOSS(*wide)
    expected.backward()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    for narrow, logits in zip(half, wide, strict=True):
        torch.testing.assert_close(narrow.grad.double(), logits.grad, rtol=1e-2, atol=1e-6)


def test_bad_shapes_are_named():
    first, second = pair()
    with pytest.raises(ValueError, match=r"must have one shape, found \(2, 3, 4, 5\) and \(2, 2, 4, 5\)"):
        LOSS(first, second[:, :2])
    with pytest.raises(ValueError, match="with C >= 2 classes"):
        LOSS(first[:, :1], second[:, :1])

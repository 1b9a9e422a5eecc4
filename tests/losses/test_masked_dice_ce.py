# SPDX-License-Identifier: Apache-2.0
"""Dice and cross-entropy under a mask: the formula, MONAI's Dice, what is not read, and precision."""

import pytest
import torch
from contrast_oracles import assert_same
from monai.losses import DiceLoss
from segmentation_oracles import masked_dice_ce

from monai_cl_ext.losses import MaskedDiceCELoss

GENERATOR = torch.Generator().manual_seed(0)
SIZES = pytest.mark.parametrize("size", [(7,), (4, 5), (2, 3, 3)], ids=["1D", "2D", "3D"])


def case(size=(4, 5), classes=3, rows=2):
    logits = torch.randn(rows, classes, *size, dtype=torch.float64, generator=GENERATOR) * 2
    target = torch.randint(classes, (rows, 1, *size), generator=GENERATOR)
    mask = torch.randint(2, (rows, 1, *size), generator=GENERATOR).double()
    mask.flatten()[:2] = torch.tensor([0.0, 1.0])
    return logits.requires_grad_(), target, mask


@SIZES
@pytest.mark.parametrize("classes", [2, 4])
def test_value_and_gradient_are_those_of_the_formula(size, classes):
    logits, target, mask = case(size, classes)
    assert_same(MaskedDiceCELoss()(logits, target, mask), masked_dice_ce(logits, target, mask), logits)


@SIZES
def test_with_all_voxels_under_the_mask(size):
    logits, target, mask = case(size)
    mask = torch.ones_like(mask)
    assert_same(MaskedDiceCELoss()(logits, target, mask), masked_dice_ce(logits, target, mask), logits)


def test_rows_share_their_sums():
    """Sums over the batch: an empty row under the mask changes nothing, which a mean over rows would not have."""
    logits, target, mask = case()
    mask[1] = 0
    both, one = MaskedDiceCELoss()(logits, target, mask), MaskedDiceCELoss()(logits[:1], target[:1], mask[:1])
    torch.testing.assert_close(both, one, rtol=0, atol=1e-14)
    assert_same(both, masked_dice_ce(logits, target, mask), logits)


def test_an_absent_class_counts_as_missed():
    logits, target, mask = case()
    target.clamp_(max=1)
    loss = MaskedDiceCELoss(lambda_dice=1, lambda_ce=0)(logits, target, mask)
    present = [
        1 - 2 * (p * y * mask[:, 0]).sum() / ((p * p + y * y) * mask[:, 0]).sum()
        for p, y in ((logits.softmax(1)[:, number], (target[:, 0] == number).double()) for number in (0, 1))
    ]
    torch.testing.assert_close(loss, (sum(present) + 1) / 3, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_an_empty_mask_costs_nothing_and_moves_nothing(dtype):
    logits, target, mask = case()
    logits = logits.detach().to(dtype).requires_grad_()
    loss = MaskedDiceCELoss()(logits, target, torch.zeros_like(mask))
    loss.backward()
    assert loss.item() == 0 and torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("outside", [255, 3])
def test_labels_outside_the_mask_are_not_read(outside):
    logits, target, mask = case()
    expected = MaskedDiceCELoss()(logits, target, mask)
    ignored = torch.where(mask > 0, target, outside).to(torch.uint8)
    found = MaskedDiceCELoss()(logits, ignored, mask)
    assert torch.equal(found, expected) and found.isfinite()
    (gradient,) = torch.autograd.grad(found, logits)
    assert not gradient[(mask == 0).expand_as(gradient)].any() and gradient[(mask > 0).expand_as(gradient)].all()


@SIZES
def test_dice_is_monais_on_masked_probabilities_and_one_hot_labels(size):
    logits, target, mask = case(size)
    monai = DiceLoss(include_background=True, squared_pred=True, batch=True, smooth_nr=1e-10, smooth_dr=1e-10)
    onehot = torch.stack([(target[:, 0] == number).double() for number in range(3)], dim=1)
    expected = monai(logits.softmax(1) * mask, onehot * mask)
    assert_same(MaskedDiceCELoss(lambda_dice=1, lambda_ce=0)(logits, target, mask), expected, logits)


def test_the_weights_are_those_of_the_parts():
    logits, target, mask = case()
    dice, entropy = (
        MaskedDiceCELoss(lambda_dice=one, lambda_ce=1 - one)(logits, target, mask).item() for one in (1, 0)
    )
    assert min(dice, entropy) > 0.1 and abs(dice - entropy) > 0.1
    found = MaskedDiceCELoss(lambda_dice=0.3, lambda_ce=2)(logits, target, mask).item()
    assert found == pytest.approx(0.3 * dice + 2 * entropy, rel=1e-12)
    assert MaskedDiceCELoss()(logits, target, mask).item() == pytest.approx((dice + entropy) / 2, rel=1e-12)


def test_gradcheck():
    logits, target, mask = case((2, 3))
    assert torch.autograd.gradcheck(lambda each: MaskedDiceCELoss()(each, target, mask), logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_computed_in_float32(dtype, autocast):
    logits, target, mask = case((64, 64))
    half = logits.detach().to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = MaskedDiceCELoss()(half, target, mask.to(dtype))
    found.backward()
    wide = half.detach().double().requires_grad_()
    expected = MaskedDiceCELoss()(wide, target, mask)
    expected.backward()
    assert found.dtype == torch.float32 and half.grad.dtype == dtype
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(half.grad.double(), wide.grad, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.float32])
def test_any_dtype_of_labels_and_mask_serves(dtype):
    logits, target, mask = case()
    expected = MaskedDiceCELoss()(logits, target, mask)
    for kind in (torch.bool, torch.uint8, torch.float32):
        assert torch.equal(MaskedDiceCELoss()(logits, target.to(dtype), mask.to(kind)), expected)


def test_bad_arguments_are_named():
    logits, target, mask = case()
    loss = MaskedDiceCELoss()
    with pytest.raises(ValueError, match=r"target must be \(2, 1, 4, 5\) for logits .*, found \(2, 4, 5\)"):
        loss(logits, target[:, 0], mask)
    with pytest.raises(ValueError, match=r"mask must be \(2, 1, 4, 5\) for logits .*, found \(1, 1, 4, 5\)"):
        loss(logits, target, mask[:1])
    with pytest.raises(ValueError, match="with C >= 2 classes"):
        loss(logits[:, :1], target, mask)
    with pytest.raises(ValueError, match="lambda_ce must be a finite number of at least 0, found -1"):
        MaskedDiceCELoss(lambda_ce=-1)


@pytest.mark.parametrize("value", [0.7, 5.0, -1.0, float("nan")])
def test_what_is_no_class_is_refused_under_the_mask_alone(value):
    logits, target, mask = case()
    target = target.double()
    target.flatten()[:2] = value  # one outside of the mask, one under it
    with pytest.raises(ValueError, match=rf"target must be classes from 0 to 2, found {value:g} at 1 voxel"):
        MaskedDiceCELoss()(logits, target, mask)
    mask.flatten()[:2] = 0
    assert torch.isfinite(MaskedDiceCELoss()(logits, target, mask))

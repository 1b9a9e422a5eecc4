# SPDX-License-Identifier: Apache-2.0
"""Consistency where a teacher is certain: the formula, the threshold, what gets a gradient, and precision."""

import math

import pytest
import torch
from contrast_oracles import assert_same
from segmentation_oracles import masked_consistency

from monai_cl_ext.losses import UncertaintyMaskedConsistencyLoss, uncertainty_threshold

GENERATOR = torch.Generator().manual_seed(0)
LOSS = UncertaintyMaskedConsistencyLoss()


def case(size=(4, 5), classes=3):
    shape = (2, classes, *size)
    student, teacher = (torch.randn(shape, dtype=torch.float64, generator=GENERATOR).softmax(1) for _ in range(2))
    uncertainty = torch.rand(2, 1, *size, dtype=torch.float64, generator=GENERATOR)
    return student.requires_grad_(), teacher, uncertainty


@pytest.mark.parametrize("size", [(7,), (4, 5), (2, 3, 3)], ids=["1D", "2D", "3D"])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("threshold", [0.4, 0.7])
def test_value_and_gradient_are_those_of_the_formula(size, classes, threshold):
    student, teacher, uncertainty = case(size, classes)
    expected = masked_consistency(student, teacher, uncertainty, threshold)
    assert expected > 0.01
    assert_same(LOSS(student, teacher, uncertainty, threshold), expected, student)


def test_a_voxel_at_the_threshold_is_left_out():
    student, teacher, uncertainty = case()
    threshold = uncertainty.flatten()[7].item()
    assert_same(
        LOSS(student, teacher, uncertainty, threshold),
        masked_consistency(student, teacher, uncertainty, threshold),
        student,
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_threshold_is_not_rounded_to_half_precision(dtype):
    student, teacher, _ = case()
    threshold = uncertainty_threshold(10, 10)
    uncertainty = torch.full_like(student[:, :1], threshold).to(dtype).nextafter(torch.zeros((), dtype=dtype))
    torch.testing.assert_close(
        LOSS(student, teacher, uncertainty, threshold), LOSS(student, teacher, uncertainty.double(), threshold)
    )
    assert LOSS(student, teacher, torch.tensor(0.6914).to(dtype).expand(student[:, :1].shape), 0.6931) > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_nothing_is_certain_nothing_is_learned(dtype):
    student, teacher, uncertainty = case()
    student = student.detach().to(dtype).requires_grad_()
    loss = LOSS(student, teacher, uncertainty, 0.0)
    loss.backward()
    assert loss.item() == 0 and torch.equal(student.grad, torch.zeros_like(student))


def test_teacher_and_uncertainty_get_no_gradient():
    student, teacher, uncertainty = case()
    LOSS(student, teacher.requires_grad_(), uncertainty.requires_grad_(), 0.7).backward()
    assert student.grad.any() and teacher.grad is None and uncertainty.grad is None


def test_gradcheck():
    student, teacher, uncertainty = case((2, 3))
    assert torch.autograd.gradcheck(lambda each: LOSS(each, teacher, uncertainty, 0.7), student)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_computed_in_float32(dtype, autocast):
    half = [each.detach().to(dtype) for each in case((64, 64))]
    student = half[0].requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = LOSS(*half, 0.7)
    found.backward()
    wide = [each.detach().double() for each in half]
    expected = LOSS(wide[0].requires_grad_(), *wide[1:], 0.7)
    expected.backward()
    assert found.dtype == torch.float32 and student.grad.dtype == dtype
    assert found.item() == pytest.approx(expected.item(), rel=1e-2)
    torch.testing.assert_close(student.grad.double(), wide[0].grad, rtol=2e-2, atol=1e-6)


def test_the_threshold_rises_to_ln_2():
    for step, ramp in ((0, math.exp(-5)), (10, math.exp(-5 * 0.75**2)), (20, math.exp(-1.25)), (40, 1), (99, 1)):
        assert uncertainty_threshold(step, 40) == pytest.approx((0.75 + 0.25 * ramp) * math.log(2), rel=1e-12)
    assert uncertainty_threshold(0, 0) == math.log(2)
    with pytest.raises(ValueError, match="must be at least 0, found -1 and 5"):
        uncertainty_threshold(-1, 5)


def test_shapes_that_do_not_fit_are_named():
    student, teacher, uncertainty = case()
    found = r"found \(2, 3, 4, 5\), \(2, 2, 4, 5\) and \(2, 1, 4, 5\)"
    with pytest.raises(ValueError, match=found):
        LOSS(student, teacher[:, :2], uncertainty, 0.5)
    for bad in (uncertainty[:, 0], uncertainty[:1], uncertainty.expand(-1, 3, -1, -1)):
        with pytest.raises(ValueError, match=r"uncertainty \(B, 1, \*S\), found"):
            LOSS(student, teacher, bad, 0.5)

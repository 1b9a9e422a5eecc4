# SPDX-License-Identifier: Apache-2.0
"""DINO's loss: the formula written out, the center, and what it takes."""

from math import exp, log

import pytest
import torch

from monai_cl_ext.losses import DINOLoss

OUT, IMAGES = 5, 3


def crops(count, seed=0, scale=2.0, images=IMAGES):
    generator = torch.Generator().manual_seed(seed)
    return list((scale * torch.randn(count, images, OUT, dtype=torch.float64, generator=generator)).unbind())


def leaves(count, seed=0):
    return [crop.requires_grad_() for crop in crops(count, seed)]


def oracle(students, teachers, center, student_temperature, teacher_temperature):
    """The mean over pairs of different crops of the cross-entropy, output by output."""
    total, terms = 0.0, 0
    for q, teacher in enumerate(teachers):
        for v, student in enumerate(students):
            if q == v:
                continue
            for image in range(IMAGES):
                target = [exp((t - c) / teacher_temperature) for t, c in zip(teacher[image], center, strict=True)]
                logits = [s / student_temperature for s in student[image]]
                partition = sum(torch.exp(logit) for logit in logits)
                for output in range(OUT):
                    total = total - target[output] / sum(target) * torch.log(torch.exp(logits[output]) / partition)
                terms += 1
    return total / terms, terms


@pytest.mark.parametrize("students, teachers, pairs", [(2, 2, 2), (10, 2, 18), (4, 2, 6), (3, 1, 2), (4, 3, 9)])
def test_equals_the_oracle_with_gradient(students, teachers, pairs):
    loss = DINOLoss(OUT, student_temperature=0.3)
    loss.center.copy_(torch.linspace(-1, 1, OUT))
    first, targets = leaves(students), crops(teachers, seed=1)
    expected, terms = oracle(first, [target.tolist() for target in targets], loss.center[0].tolist(), 0.3, 0.5)
    assert terms == pairs * IMAGES
    found = loss(first, targets, 0.5)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    wanted = torch.autograd.grad(expected, first, allow_unused=True)
    gradients = torch.autograd.grad(found, first, allow_unused=True)
    for gradient, right in zip(gradients, wanted, strict=True):
        assert (gradient is None) == (right is None)
        if right is not None:
            torch.testing.assert_close(gradient, right, rtol=0, atol=1e-12)


def test_two_outputs_by_hand():
    """The teacher is sure of output 0; the student has it at odds of e to 1."""
    loss = DINOLoss(2, student_temperature=1.0)
    student = [torch.tensor([[9.0, 9.0]]), torch.tensor([[1.0, 0.0]])]
    assert loss(student, [torch.tensor([[50.0, 0.0]])], 0.04).item() == pytest.approx(log(1 + exp(-1)), rel=1e-6)


def test_gradcheck():
    loss, targets = DINOLoss(OUT, 0.2).eval(), crops(2, seed=1)
    assert torch.autograd.gradcheck(lambda *students: loss(students, targets, 0.1), leaves(4))


def test_no_gradient_reaches_the_teacher():
    students, targets = leaves(3), leaves(2, seed=1)
    DINOLoss(OUT)(students, targets, 0.04).backward()
    assert all(target.grad is None for target in targets)
    assert all(student.grad.any() for student in students)


def test_the_center_moves_after_each_call_in_training_alone():
    loss = DINOLoss(OUT, center_momentum=0.8)
    students, first, second = crops(3), crops(2, seed=1), crops(2, seed=2)
    assert loss.center.shape == (1, OUT) and not loss.center.any() and "center" in loss.state_dict()
    before = loss(students, first, 0.5)
    expected = 0.2 * torch.cat(first).mean(0)
    torch.testing.assert_close(loss.center[0], expected.float())
    after = loss(students, first, 0.5)
    fresh = DINOLoss(OUT).eval()
    assert before == fresh(students, first, 0.5) and before != after  # the center took part in the second call only
    loss(students, second, 0.5)
    expected = 0.8 * (0.8 * expected + 0.2 * torch.cat(first).mean(0)) + 0.2 * torch.cat(second).mean(0)
    torch.testing.assert_close(loss.center[0], expected.float())
    kept = loss.center.clone()
    loss.eval()(students, first, 0.5)
    assert torch.equal(loss.center, kept)


def test_images_may_be_permuted_and_logits_shifted():
    loss = DINOLoss(OUT).eval()
    students, targets, order = crops(4), crops(2, seed=1), torch.tensor([2, 0, 1])
    expected = loss(students, targets, 0.1)
    moved = loss([crop[order] + 7 for crop in students], [crop[order] - 3 for crop in targets], 0.1)
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-10)


def test_the_temperature_may_be_a_tensor():
    loss, students, targets = DINOLoss(OUT).eval(), crops(4), crops(2, seed=1)
    assert loss(students, targets, torch.tensor(0.25)) == loss(students, targets, 0.25)


def test_bfloat16_autocast_gives_float32():
    students, targets = ([crop.bfloat16() for crop in crops(count, seed)] for count, seed in ((4, 0), (2, 1)))
    with torch.autocast("cpu", torch.bfloat16):
        loss = DINOLoss(OUT)(students, targets, 0.04)
    expected = DINOLoss(OUT)([crop.float() for crop in students], [crop.float() for crop in targets], 0.04)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0, atol=0)


def test_far_logits_stay_finite():
    students = [(300 * crop).float().requires_grad_() for crop in crops(2)]
    loss = DINOLoss(OUT)(students, [(300 * crop).float() for crop in crops(2, seed=1)], 0.01)
    loss.backward()
    assert loss.isfinite() and all(student.grad.isfinite().all() for student in students)


def test_no_image_is_a_differentiable_zero():
    students = [torch.zeros(0, OUT, requires_grad=True) for _ in range(3)]
    loss = DINOLoss(OUT)
    value = loss(students, [torch.zeros(0, OUT)] * 2, 0.04)
    value.backward()
    assert value.item() == 0 and not loss.center.any()


def test_mistakes_are_named():
    loss = DINOLoss(OUT)
    with pytest.raises(ValueError, match="found 1 student crops and 1 teacher crops"):
        loss(crops(1), crops(1), 0.04)
    with pytest.raises(ValueError, match="found 2 student crops and 3 teacher crops"):
        loss(crops(2), crops(3), 0.04)
    with pytest.raises(ValueError, match="found 2 student crops and 0 teacher crops"):
        loss(crops(2), [], 0.04)
    with pytest.raises(ValueError, match=r"must be \(B, 7\).*\(3, 5\)"):
        DINOLoss(7)(crops(2), crops(2), 0.04)
    with pytest.raises(ValueError, match=r"\(2, 5\), \(3, 5\)"):
        loss([*crops(2), *crops(1, images=2)], crops(2), 0.04)
    with pytest.raises(ValueError, match="teacher_temperature must be a finite number above 0, found 0"):
        loss(crops(2), crops(2), 0)
    for arguments in ({"out_dim": 0}, {"student_temperature": 0.0}, {"center_momentum": 1.5}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            DINOLoss(**{"out_dim": 4, **arguments})

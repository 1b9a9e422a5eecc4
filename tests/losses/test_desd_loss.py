# SPDX-License-Identifier: Apache-2.0
"""DeSD's loss: the mean over levels of DINO's, under one center that moves once a call."""

from math import exp, log

import pytest
import torch

from monai_cl_ext.losses import DeSDLoss, DINOLoss

OUT, IMAGES, LEVELS = 5, 3, 4


def crops(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return list(2 * torch.randn(count, IMAGES, OUT, dtype=torch.float64, generator=generator))


def levels(count=3):
    return [[crop.requires_grad_() for crop in crops(count, 10 + level)] for level in range(LEVELS)]


def oracle(students, teachers, center, student_temperature, teacher_temperature):
    """By level, pair of different crops, image and output."""
    means = []
    for level in students:
        terms = []
        for q, teacher in enumerate(teachers):
            for v, student in enumerate(level):
                for image in range(IMAGES) if q != v else ():
                    logits = [value / student_temperature for value in student[image].tolist()]
                    target = [exp((t - c) / teacher_temperature) for t, c in zip(teacher[image], center, strict=True)]
                    normalizer = log(sum(map(exp, logits)))
                    terms.append(-sum(p / sum(target) * (x - normalizer) for p, x in zip(target, logits, strict=True)))
        means.append(sum(terms) / len(terms))
    return sum(means) / len(means)


def test_equals_the_oracle():
    loss, students, targets = DeSDLoss(OUT, student_temperature=0.3), levels(), crops(2, seed=1)
    loss.center.copy_(torch.linspace(-1, 1, OUT))
    expected = oracle(students, targets, loss.center[0].tolist(), 0.3, 0.5)
    assert loss(students, targets, 0.5).item() == pytest.approx(expected, abs=1e-12)


def test_it_is_the_mean_over_levels_of_dinos_loss_with_gradient():
    loss, one, students, targets = DeSDLoss(OUT).eval(), DINOLoss(OUT).eval(), levels(), crops(2, seed=1)
    for module in (loss, one):
        module.center.copy_(torch.linspace(-1, 1, OUT))
    found, expected = loss(students, targets, 0.1), sum(one(level, targets, 0.1) for level in students) / LEVELS
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    leaves = [crop for level in students for crop in level]
    for gradient, right in zip(*(torch.autograd.grad(each, leaves) for each in (found, expected)), strict=True):
        torch.testing.assert_close(gradient, right, rtol=0, atol=1e-12)
    flat = [crop.detach().requires_grad_() for crop in leaves]
    assert torch.autograd.gradcheck(lambda *given: loss([given[:3], given[3:6]], targets, 0.5), flat[:6])


def test_the_center_moves_once_a_call_in_training_alone_and_not_before_the_last_level():
    loss, one, students, targets = DeSDLoss(OUT, center_momentum=0.8), DINOLoss(OUT, 0.1, 0.8), levels(), crops(2)
    for call in range(3):
        found = loss(students, [target + call for target in targets], 0.5)
        assert found == centered(one.center)(students, [target + call for target in targets], 0.5)
        one(students[0], [target + call for target in targets], 0.5)
        assert torch.equal(loss.center, one.center) and loss.center.any()
    kept = loss.center.clone()
    loss.eval()(students, targets, 0.5)
    assert torch.equal(loss.center, kept) and set(loss.state_dict()) == {"center"}


def centered(center):
    """In evaluation, where the center stays."""
    loss = DeSDLoss(OUT).eval()
    loss.center.copy_(center)
    return loss


def test_no_gradient_reaches_the_teacher_and_bfloat16_gives_float32():
    students, targets = levels(), [target.requires_grad_() for target in crops(2)]
    DeSDLoss(OUT)(students, targets, 0.04).backward()
    assert all(target.grad is None for target in targets)
    half = [[crop.detach().bfloat16() for crop in level] for level in students]
    with torch.autocast("cpu", torch.bfloat16):
        found = DeSDLoss(OUT)(half, [target.bfloat16() for target in targets], 0.04)
    whole = [[crop.float() for crop in level] for level in half]
    expected = DeSDLoss(OUT)(whole, [target.bfloat16().float() for target in targets], 0.04)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_mistakes_are_named():
    loss, students, targets = DeSDLoss(OUT), levels(), crops(2)
    with pytest.raises(ValueError, match="one level or more, found none"):
        loss([], targets, 0.04)
    with pytest.raises(ValueError, match="found 1 student crops and 2 teacher crops"):
        loss([students[0], students[1][:1]], targets, 0.04)
    with pytest.raises(ValueError, match=r"must be \(B, 5\).*\(3, 4\)"):
        loss([students[0], [crop[:, :4] for crop in students[1]]], targets, 0.04)
    with pytest.raises(ValueError, match="teacher_temperature"):
        loss(students, targets, 0)
    for arguments in ({"out_dim": 0}, {"student_temperature": 0.0}, {"center_momentum": 1.5}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            DeSDLoss(**{"out_dim": 4, **arguments})

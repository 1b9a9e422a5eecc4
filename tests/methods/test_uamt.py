# SPDX-License-Identifier: Apache-2.0
"""UA-MT: its loss by hand, passes that differ, and a threshold that rises."""

import copy
import math

import pytest
import torch
from semi_supervised_cases import SUPERVISED, gradients, parts, views
from torch import nn

from monai_cl_ext.losses import uncertainty_threshold
from monai_cl_ext.methods import UAMT


def dropping(seed=0):
    torch.manual_seed(seed)
    layers = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.4), nn.Conv2d(6, 3, 1)
    return nn.Sequential(*layers)


def without_dropout(seed=0):
    return nn.Sequential(*(layer for layer in dropping(seed) if not isinstance(layer, nn.Dropout)))


def made(make=dropping, scale=1.0, **more):
    """A method whose teacher has other weights than its student; ``scale`` makes it more certain."""
    method = UAMT(make(), SUPERVISED, 2, **{"threshold_steps": 40, **more})
    method.teacher.network.load_state_dict(make(seed=1).state_dict())
    with torch.no_grad():
        method.teacher.network[-1].weight.mul_(scale)
    return method.train()


@pytest.mark.parametrize("passes", [1, 3])
def test_the_loss_and_its_gradient_are_those_of_the_formula(passes):
    method, (view,) = made(scale=5.0, consistency_weight=0.7, noise=0.3, passes=passes), views()
    method.iteration = 20
    student, teacher = copy.deepcopy(method.network), copy.deepcopy(method.teacher.network)
    torch.manual_seed(5)
    losses = method([view], {})
    torch.manual_seed(5)
    logits = student(view["image"])
    unlabelled = view["image"][2:]
    with torch.no_grad():
        passed = []
        for _ in range(1 + passes):
            noise = (torch.randn_like(unlabelled) * 0.3).clamp(-0.6, 0.6)
            passed.append(teacher(unlabelled + noise).softmax(1))
    supervised, squares, count = SUPERVISED(logits[:2], view["label"][:2]), 0, 0
    target, probabilities = passed[0], logits[2:].softmax(1)
    threshold = (0.75 + 0.25 * math.exp(-1.25)) * math.log(2)
    for row in range(2):
        for y in range(16):
            for x in range(16):
                mean = [sum(each[row, number, y, x].item() for each in passed[1:]) / passes for number in range(3)]
                if -sum(p * math.log(p + 1e-6) for p in mean) < threshold:
                    count += 1
                    squares = squares + (probabilities[row, :, y, x] - target[row, :, y, x]).square().sum()
    assert 0.05 < count / 512 < 0.95
    consistency = squares / (2 * count)
    for found, expected in zip(parts(losses, method), (supervised, consistency), strict=True):
        torch.testing.assert_close(found, expected)
    assert losses["certain"].item() == pytest.approx(count / 512)
    for found, expected in zip(
        gradients(losses["loss"], method.network), gradients(supervised + 0.7 * consistency, student), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_the_passes_differ_by_noise_and_by_dropout():
    """Alone, each of them makes the teacher's results random, and the mean of more passes less so."""
    image = torch.rand(4, 1, 16, 16)
    for method in (made(noise=0.0), made(without_dropout, noise=0.3)):
        assert not torch.equal(method.taught(image), method.taught(image))
        spread = []
        for passes in (1, 16):
            method.passes = passes
            spread.append(torch.stack([method.uncertainty(image) for _ in range(8)]).std(0).mean())
        assert spread[1] < 0.5 * spread[0]


def test_the_uncertainty_lies_between_that_of_one_class_and_of_all():
    method, image = made(passes=2), torch.rand(2, 1, 8, 8)
    assert (method.uncertainty(image) <= math.log(3)).all()
    with torch.no_grad():
        method.teacher.network[-1].weight.zero_()
        method.teacher.network[-1].bias.zero_()
    torch.testing.assert_close(method.uncertainty(image), torch.full((2, 1, 8, 8), math.log(3)), rtol=0, atol=1e-5)
    with torch.no_grad():
        method.teacher.network[-1].bias[1] = 100
    torch.testing.assert_close(method.uncertainty(image), torch.zeros(2, 1, 8, 8), rtol=0, atol=1e-5)


def test_more_is_learned_as_the_training_goes_on():
    """An entropy between the first threshold and the last one."""
    method = made(threshold_steps=40, passes=1)
    probability = next(p / 1000 for p in range(600, 1000) if entropy(p / 1000) < 0.85 * math.log(2))
    with torch.no_grad():
        method.teacher.network[-1].weight.zero_()
        rest = (1 - probability) / 2
        method.teacher.network[-1].bias.copy_(torch.tensor([probability, rest, rest]).log())
    assert uncertainty_threshold(0, 40) < entropy(probability) < math.log(2)
    for iteration, certain in ((0, 0), (40, 1), (1000, 1)):
        method.iteration = iteration
        assert method(views(), {})["certain"].item() == certain


def entropy(probability):
    rest = (1 - probability) / 2
    return -probability * math.log(probability) - 2 * rest * math.log(rest)


def test_the_teacher_gets_no_gradient():
    method = made()
    method(views(), {})["loss"].backward()
    assert all(parameter.grad is not None for parameter in method.network.parameters())
    assert all(parameter.grad is None for parameter in method.teacher.parameters())


def test_arguments_without_meaning_are_refused():
    with pytest.raises(ValueError, match="passes must be an integer of at least 1, found 0"):
        made(passes=0)
    with pytest.raises(ValueError, match="threshold_steps must be an integer of at least 0, found -1"):
        made(threshold_steps=-1)

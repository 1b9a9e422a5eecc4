# SPDX-License-Identifier: Apache-2.0
"""Mean Teacher: its loss by hand, the noise, and how the teacher follows."""

import copy

import pytest
import torch
from semi_supervised_cases import SUPERVISED, convolutions, gradients, parts, views

from monai_cl_ext.methods import MeanTeacher


def made(**more):
    """A method whose teacher has other weights than its student."""
    method = MeanTeacher(convolutions(), SUPERVISED, 2, **more)
    method.teacher.network.load_state_dict(convolutions(seed=1).state_dict())
    return method.train()


def test_the_loss_and_its_gradient_are_those_of_the_formula():
    method, (view,) = made(consistency_weight=0.7, noise=0.3), views()
    student, teacher = copy.deepcopy(method.network), copy.deepcopy(method.teacher.network)
    torch.manual_seed(5)
    losses = method([view], {})
    torch.manual_seed(5)
    unlabelled = view["image"][2:]
    noise = (torch.randn_like(unlabelled) * 0.3).clamp(-0.6, 0.6)
    logits = student(view["image"])
    supervised = SUPERVISED(logits[:2], view["label"][:2])
    consistency = (logits[2:].softmax(1) - teacher(unlabelled + noise).detach().softmax(1)).square().mean()
    for found, expected in zip(parts(losses, method), (supervised, consistency), strict=True):
        torch.testing.assert_close(found, expected)
    for found, expected in zip(
        gradients(losses["loss"], method.network), gradients(supervised + 0.7 * consistency, student), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_double_precision_stays_so():
    method, image = MeanTeacher(convolutions().double(), SUPERVISED, 2), views()[0]["image"].double()
    found = method.taught(image)
    assert found.dtype == torch.float64 and method.agreement(found, image)["consistency"].dtype == torch.float64
    torch.testing.assert_close(found.sum(1), torch.ones_like(found[:, 0]), rtol=0, atol=1e-14)


def test_the_teacher_gets_no_gradient():
    method = made()
    method(views(), {})["loss"].backward()
    assert all(parameter.grad is not None for parameter in method.network.parameters())
    assert all(parameter.grad is None for parameter in method.teacher.parameters())


def test_labels_of_unlabeled_rows_are_not_looked_at():
    method, (view,) = made(noise=0.0), views()
    ignored = {**view, "label": view["label"].clone()}
    ignored["label"][2:] = 255
    assert torch.equal(method([view], {})["loss"], method([ignored], {})["loss"])


def test_the_teacher_does_not_look_at_running_statistics():
    method, other = made(noise=0.0), made(noise=0.0)
    other.teacher.network[1].running_mean.fill_(100)
    assert torch.equal(method(views(), {})["loss"], other(views(), {})["loss"])


def test_the_noise_is_clipped_at_two_standard_deviations():
    torch.manual_seed(0)
    noise = made(noise=0.1).noisy(torch.zeros(100_000))
    assert noise.abs().max().item() == pytest.approx(0.2, rel=1e-6)
    assert (noise.abs() > 0.1999).double().mean().item() == pytest.approx(0.0455, abs=0.005)
    assert noise.mean().item() == pytest.approx(0, abs=0.002)
    inner = noise[noise.abs() < 0.1999]
    assert (inner.abs() < 0.1).double().mean().item() == pytest.approx(0.6827 / 0.9545, abs=0.01)
    image = torch.rand(2, 1, 4, 4)
    assert torch.equal(made(noise=0.0).noisy(image), image)


@pytest.mark.parametrize("iteration, momentum", [(0, 0.0), (1, 0.5), (9, 0.9), (98, 98 / 99), (99, 0.99), (5000, 0.99)])
def test_the_momentum_rises_from_a_copy_to_its_value(iteration, momentum):
    method = made(momentum=0.99)
    method.iteration = iteration
    expected = [
        momentum * teacher + (1 - momentum) * student
        for teacher, student in zip(method.teacher.parameters(), method.network.parameters(), strict=True)
    ]
    method.after_step()
    for found, wanted in zip(method.teacher.parameters(), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_arguments_without_meaning_are_refused():
    with pytest.raises(ValueError, match="momentum must be a number from 0 to 1, found 2"):
        made(momentum=2)
    with pytest.raises(ValueError, match="noise must be a finite number of at least 0, found -1"):
        made(noise=-1)
    with pytest.raises(ValueError, match="consistency_weight must be a finite number of at least 0, found -1"):
        made(consistency_weight=-1)

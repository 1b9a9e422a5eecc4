# SPDX-License-Identifier: Apache-2.0
"""Training in two stages: the teacher in both of them, its pseudo-labels, and self-training with it."""

import copy

import pytest
import torch
from semi_supervised_cases import METHODS, SUPERVISED, convolutions, gradients, parts, views

from monai_cl_ext.methods import EMASelfTraining

BOTH = pytest.mark.parametrize("name", ["EMASelfTraining", "BCP"])


def made(name="EMASelfTraining", **more):
    """A method whose teacher has other weights than its student."""
    method = METHODS[name](convolutions, **more)
    method.teacher.network.load_state_dict(convolutions(seed=1).state_dict())
    return method.train()


def assert_weights(found, expected):
    for one, other in zip(found.parameters(), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@BOTH
def test_the_teacher_copies_in_the_warm_up_and_averages_after_it(name):
    method = made(name, warm_up_steps=3, momentum=0.9)
    for iteration in range(3):
        method.iteration = iteration
        assert method.warming_up
        with torch.no_grad():
            method.network[3].bias += 1
        method.after_step()
        assert all(map(torch.equal, method.teacher.parameters(), method.network.parameters()))
    method.iteration = 3
    assert not method.warming_up
    before = [parameter.clone() for parameter in method.teacher.parameters()]
    with torch.no_grad():
        method.network[3].bias += 1
    method.after_step()
    students = method.network.parameters()
    assert_weights(method.teacher, [0.9 * old + 0.1 * new for old, new in zip(before, students, strict=True)])


def test_the_steps_of_the_warm_up_are_a_whole_number():
    with pytest.raises(ValueError, match="warm_up_steps must be an integer of at least 0, found 10.7"):
        made(warm_up_steps=10.7)


@BOTH
def test_the_warm_up_looks_at_labeled_rows_alone(name):
    method, (view,) = made(name), views()
    other = {key: value.clone() for key, value in view.items()}
    other["image"][2:] = 7
    other["label"][2:] = 255
    losses = []
    for each in (view, other):
        method.boxes = copy.deepcopy(method.boxes) if name == "BCP" else None
        method.set_epoch(1)
        losses.append(method([each], {}))
    assert set(losses[0]) == {"loss"} and torch.equal(losses[0]["loss"], losses[1]["loss"])
    losses[0]["loss"].backward()
    assert all(parameter.grad is not None for parameter in method.network.parameters())


@BOTH
def test_the_second_stage_looks_at_no_label_of_unlabeled_rows(name):
    method, (view,) = made(name, warm_up_steps=0), views()
    other = {**view, "label": view["label"].clone()}
    other["label"][2:] = 255
    losses = []
    for each in (view, other):
        method.set_epoch(1)
        losses.append(method([each], {})["loss"])
    assert torch.equal(*losses) and losses[0].isfinite()


def test_pseudo_labels_are_the_teachers_most_likely_classes_refined():
    image = views()[0]["image"][2:]
    refined = []
    method = made(refine=lambda labels: refined.append(labels) or labels.clamp(max=1))
    found = method.pseudo_labels(image)
    teacher = convolutions(seed=1).train()
    expected = teacher(image).argmax(1, keepdim=True)
    assert torch.equal(refined[0], expected) and len(expected.unique()) == 3
    assert torch.equal(found, expected.clamp(max=1)) and found.dtype == torch.int64
    assert torch.equal(made().pseudo_labels(image), expected)


def test_running_statistics_of_the_teacher_play_no_part():
    image = views()[0]["image"][2:]
    method = made()
    expected = method.pseudo_labels(image)
    method.teacher.network[1].running_mean.fill_(100)
    method.teacher.network[1].running_var.fill_(1e-6)
    assert torch.equal(method.pseudo_labels(image), expected)


def test_self_training_learns_labels_and_pseudo_labels():
    method, (view,) = made(warm_up_steps=0, consistency_weight=0.7), views()
    student = copy.deepcopy(method.network)
    pseudo = convolutions(seed=1).train()(view["image"][2:]).argmax(1, keepdim=True)
    losses = method([view], {})
    logits = student(view["image"])
    supervised, consistency = SUPERVISED(logits[:2], view["label"][:2]), SUPERVISED(logits[2:], pseudo)
    for found, expected in zip(parts(losses, method), (supervised, consistency), strict=True):
        torch.testing.assert_close(found, expected)
    wanted = gradients(supervised + 0.7 * consistency, student)
    for found, expected in zip(gradients(losses["loss"], method.network), wanted, strict=True):
        torch.testing.assert_close(found, expected)
    losses["loss"].backward()
    assert all(parameter.grad is None for parameter in method.teacher.parameters())


def test_the_warm_up_of_self_training_is_supervised():
    method, (view,) = made(warm_up_steps=1), views()
    expected = SUPERVISED(copy.deepcopy(method.network)(view["image"][:2]), view["label"][:2])
    torch.testing.assert_close(method([view], {})["loss"], expected)


def test_arguments_without_meaning_are_refused():
    with pytest.raises(ValueError, match="warm_up_steps must be .* at least 0, found -1"):
        EMASelfTraining(convolutions(), SUPERVISED, 2, warm_up_steps=-1)
    with pytest.raises(ValueError, match="momentum must be a number from 0 to 1, found 1.5"):
        EMASelfTraining(convolutions(), SUPERVISED, 2, 1, momentum=1.5)

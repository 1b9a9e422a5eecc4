# SPDX-License-Identifier: Apache-2.0
"""EMA teacher: its update, its own buffers, and what it turns off."""

import copy

import pytest
import torch
from monai.networks.layers import DropPath
from torch import nn

from monai_cl_ext.networks import DINOHead, MomentumTeacher


def pair(make):
    """A teacher and a student that has moved away from it."""
    torch.manual_seed(0)
    network = make()
    student = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(torch.randn_like(parameter))
    return MomentumTeacher(network), student


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.996, 1.0])
def test_each_parameter_moves_by_the_formula(momentum):
    teacher, student = pair(lambda: nn.Sequential(nn.Linear(3, 4), DINOHead(4, 6, 5, 3)).double())
    own, other = (
        {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
        for network in (teacher.network, student)
    )
    teacher.update(student, momentum)
    for name, parameter in teacher.network.named_parameters():
        expected = momentum * own[name] + (1 - momentum) * other[name]
        torch.testing.assert_close(parameter.detach(), expected, rtol=0, atol=1e-15)
    assert all(torch.equal(parameter, other[name]) for name, parameter in student.named_parameters())


def test_parameters_meet_by_name_whatever_their_order():
    teacher, student = pair(lambda: nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)}))
    teacher.update(nn.ModuleDict({"b": student["b"], "a": student["a"]}), 0.0)
    for name, parameter in teacher.network.named_parameters():
        assert torch.equal(parameter, student.get_parameter(name))
    with pytest.raises(ValueError, match="it lacks 2, such as .*a.bias"):
        teacher.update(nn.ModuleDict({"b": student["b"]}), 0.0)
    more = nn.ModuleDict({**student, "c": nn.Linear(2, 2)})
    teacher.update(more, 0.0)
    assert "c" not in teacher.network


@pytest.mark.parametrize("momentum", [-0.1, 1.5])
def test_momentum_out_of_range_changes_nothing(momentum):
    teacher, student = pair(lambda: nn.Linear(2, 2))
    before = teacher.network.weight.clone()
    with pytest.raises(ValueError, match=str(momentum)):
        teacher.update(student, momentum)
    assert torch.equal(teacher.network.weight, before)


def test_the_momentum_of_each_update_counts_and_the_first_is_no_copy():
    teacher, student = pair(lambda: nn.Linear(2, 2).double())
    expected = teacher.network.weight.clone()
    for momentum in (0.9, 0.5, 0.99):
        teacher.update(student, momentum)
        expected = momentum * expected + (1 - momentum) * student.weight
    torch.testing.assert_close(teacher.network.weight, expected, rtol=0, atol=1e-14)


def test_running_statistics_are_the_teachers_own():
    teacher, student = pair(lambda: nn.BatchNorm1d(2))
    student.running_mean.fill_(7.0)
    teacher.update(student, 0.5)
    assert not teacher.network.running_mean.any()
    x = torch.randn(64, 2) + 3
    teacher.train()(x)
    torch.testing.assert_close(teacher.network.running_mean, 0.1 * x.mean(0))
    teacher.eval()(x)
    torch.testing.assert_close(teacher.network.running_mean, 0.1 * x.mean(0))


def test_it_gives_no_gradient_and_its_outputs_are_not_random():
    network = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Dropout2d(0.5), DropPath(0.5), nn.BatchNorm1d(4))
    method = nn.ModuleList([MomentumTeacher(network)])
    for teacher in (method[0], method.eval()[0], method.train()[0]):
        x = torch.ones(8, 4, requires_grad=True)
        first, second = teacher(x), teacher(x)
        assert torch.equal(first, second) and not first.requires_grad
    assert network.training and network[4].training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.Dropout2d(0.5), DropPath(0.5)], ids=lambda layer: str(layer))
def test_dropout_is_on_where_it_is_asked_for(layer):
    """In training alone, as in any network."""
    x = torch.ones(64, 4, 2, 2)
    teacher = MomentumTeacher(nn.Sequential(layer), dropout=True)
    assert not torch.equal(teacher.train()(x), teacher(x))
    assert torch.equal(teacher.eval()(x), x)

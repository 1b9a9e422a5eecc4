# SPDX-License-Identifier: Apache-2.0
"""DINO: what it computes, what it trains, and how the teacher moves."""

import copy
from functools import partial

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch import nn

from monai_cl_ext.losses import DINOLoss
from monai_cl_ext.methods import DINO, weight_decay_groups
from monai_cl_ext.metrics import EmbeddingSpread
from monai_cl_ext.networks import DINOHead, MultiCropViT, load_pretrained, stages

SIZES = (16, 16, 8, 8, 8)
HEAD = {"out_dim": 12, "hidden": 10, "bottleneck": 6}


def vit(dims=2, **arguments):
    return MultiCropViT(1, 16, 4, 24, 48, 2, 2, spatial_dims=dims, **arguments)


def unet(dims=2):
    return BasicUNet(dims, 1, 2, features=[4, 4, 8, 8, 16, 4], norm="batch")


def views(sizes=SIZES, dims=2, rows=4):
    generator = torch.Generator().manual_seed(0)
    return [{"image": torch.randn(rows, 1, *(size,) * dims, generator=generator)} for size in sizes]


def method_of(network, **arguments):
    torch.manual_seed(0)
    return DINO(network, *head_and_loss(arguments := {**HEAD, **arguments}), **arguments)


def head_and_loss(arguments):
    """Head and loss of the arguments that are theirs, which are taken out."""
    of_head = {
        name: arguments.pop(name) for name in ("hidden", "bottleneck", "normalize_last_layer") if name in arguments
    }
    of_loss = {name: arguments.pop(name) for name in ("student_temperature", "center_momentum") if name in arguments}
    outputs = arguments.pop("out_dim")
    return partial(DINOHead, out_dim=outputs, **of_head), DINOLoss(outputs, **of_loss)


def moved(method):
    """The method with a student and a center that have left their start."""
    with torch.no_grad():
        for tensor in (*method.student.parameters(), method.loss.center):
            tensor.add_(0.1 * torch.randn_like(tensor))
    return method


@pytest.mark.parametrize("sizes", [SIZES, (16, 16), (16, 12, 16, 8)])
def test_it_is_the_loss_of_each_crop_by_itself(sizes):
    method = moved(method_of(vit(), teacher_temperature=0.07, student_temperature=0.2))
    images = [view["image"] for view in views(sizes)]
    student, teacher = method.student, method.teacher.network
    loss = DINOLoss(12, 0.2)
    loss.center.copy_(method.loss.center)
    outputs = [student.head(student.backbone(image)) for image in images]
    expected = loss(outputs, [teacher.head(teacher.backbone(image)) for image in images[:2]], 0.07)
    assert method(views(sizes), {})["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(method.loss.center, loss.center, rtol=0, atol=1e-6)


def test_what_all_outputs_share_is_no_collapse():
    method = method_of(vit()).eval()
    head, embedding = method.teacher.network.head, torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    spread = EmbeddingSpread()
    spread.update({"projections": method.project(embedding)})
    head.register_forward_hook(lambda module, inputs, output: output + 100)
    method.loss.center.fill_(100)
    shifted = EmbeddingSpread()
    shifted.update({"projections": method.project(embedding)})
    assert shifted.compute() == pytest.approx(spread.compute(), abs=1e-3) and spread.compute() > 0.5


def test_the_teachers_entropy_is_a_part_between_0_and_1():
    method = method_of(vit())
    outputs = [method.teacher([view["image"]])[0] for view in views()[:2]]
    entropies = [-(row * row.log()).sum() for out in outputs for row in (out / method.teacher_temperature).softmax(1)]
    expected = torch.stack(entropies).mean() / torch.tensor(12.0).log()
    assert method(views(), {})["teacher_entropy"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_crops_of_one_size_pass_together_and_the_teacher_sees_the_global_ones():
    method, passes = method_of(vit(), global_crops=2), []
    for name, network in (("student", method.student), ("teacher", method.teacher.network)):
        for part in ("backbone", "head"):
            network.get_submodule(part).register_forward_hook(
                lambda module, inputs, output, name=name, part=part: passes.append((name, part, len(inputs[0])))
            )
    method(views(), {})
    students = [("student", "backbone", 8), ("student", "backbone", 12), ("student", "head", 20)]
    assert passes == [*students, ("teacher", "backbone", 8), ("teacher", "head", 8)]


@pytest.mark.parametrize("network", [vit(drop_path=0.1).requires_grad_(False), unet()], ids=["vit", "unet"])
def test_the_student_is_trained_and_nothing_else_waits_for_a_gradient(network):
    method = method_of(network)
    method(views((32, 32, 16)), {})["loss"].backward()
    for name, parameter in method.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    names = {name.removeprefix("student.") for name, parameter in method.named_parameters() if parameter.requires_grad}
    assert all(name.startswith(("backbone", "head")) for name in names)
    assert not any("original0" in name for name in names)
    if isinstance(network, BasicUNet):
        prefixes = tuple(f"backbone.network.{each}." for each in stages(unet()).encoder_prefixes)
        own = {name for name in names if name.startswith("backbone")}
        assert own == {
            "backbone.network." + name
            for name, _ in network.named_parameters()
            if f"backbone.network.{name}".startswith(prefixes)
        }
    else:
        assert {"backbone." + name for name, _ in network.named_parameters()} < names
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_network_that_was_given_is_the_teacher_and_moves_exactly(tmp_path):
    network = vit()
    method = moved(method_of(network, momentum=0.9))
    start, student = copy.deepcopy(network.state_dict()), method.student.backbone.state_dict()
    method.after_step()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, 0.9 * start[name] + 0.1 * student[name], rtol=0, atol=1e-6)
        assert not torch.equal(tensor, start[name])
    method.momentum = 0.0
    method.after_step()
    assert all(torch.equal(tensor, student[name]) for name, tensor in network.state_dict().items())
    torch.save(network.state_dict(), tmp_path / "vit.pt")
    other = vit()
    load_pretrained(other, tmp_path / "vit.pt")
    image = torch.randn(2, 1, 16, 16)
    assert torch.equal(method.eval().embed(image), other.eval()(image))


def test_student_and_teacher_start_alike():
    method = method_of(unet())
    teacher = dict(method.teacher.network.named_parameters())
    assert all(torch.equal(parameter, teacher[name]) for name, parameter in method.student.named_parameters())
    assert not {id(parameter) for parameter in method.student.parameters()} & {id(each) for each in teacher.values()}


@pytest.mark.parametrize("make", [vit, unet])
def test_three_dimensions(make):
    method = method_of(make(3))
    seen = views((16, 16, 8) if make is vit else (32, 32, 16), dims=3)
    assert method(seen, {})["loss"].isfinite()
    assert method.embed(seen[0]["image"]).shape == (4, 24 if make is vit else 16)


def test_a_state_is_restored_whole():
    first, second = moved(method_of(vit())), method_of(vit())
    second.load_state_dict(first.state_dict())
    assert first(views(), {})["loss"] == second(views(), {})["loss"]


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="2 global crops and at least two views in all, found 1: give"):
        method_of(vit())(views((16,)), {})
    with pytest.raises(ValueError, match="1 global crops and at least two views in all, found 1"):
        method_of(vit(), global_crops=1)(views((16,)), {})
    with pytest.raises(TypeError, match="found Linear"):
        method_of(nn.Linear(2, 2))
    for name in ("momentum", "teacher_temperature", "global_crops"):
        with pytest.raises(ValueError, match=name):
            method_of(vit(), **{name: -1})


def test_weight_decay_spares_biases_and_vectors():
    decayed, free = weight_decay_groups(method_of(vit(), normalize_last_layer=False))
    assert "weight_decay" not in decayed and free["weight_decay"] == 0.0
    assert {parameter.ndim for parameter in free["params"]} == {1}
    assert {parameter.ndim for parameter in decayed["params"]} == {2, 3, 4}
    method = method_of(vit())
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    groups = weight_decay_groups(method)
    assert {id(each) for group in groups for each in group["params"]} == {id(each) for each in trained}
    biased = nn.Module()
    biased.table_bias = nn.Parameter(torch.zeros(3, 3))
    assert [len(group["params"]) for group in weight_decay_groups(biased)] == [0, 1]

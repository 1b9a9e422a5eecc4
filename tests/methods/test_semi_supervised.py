# SPDX-License-Identifier: Apache-2.0
"""What holds of every semi-supervised method: the batches that it refuses, MetaTensors, and a resume."""

import copy

import pytest
import torch
from monai.data import MetaTensor
from semi_supervised_cases import METHODS, unet, views

NAMES = pytest.mark.parametrize("name", METHODS)


def made(name, labelled=2):
    method = METHODS[name](unet, labelled).train()
    if name == "UniMatch":
        method.threshold = 0.4  # a new network is sure of little
    return method


def batch(method, rows=4, seed=0):
    given = views(rows, count=method.views)
    for view in given:
        view["image"] = view["image"].roll(seed, -1)
    return given


@NAMES
@pytest.mark.parametrize("rows", [1, 2])
def test_a_batch_without_unlabeled_rows_is_refused(name, rows):
    method = made(name)
    with pytest.raises(ValueError, match=f"takes 2 labeled rows and unlabeled ones behind .* found a batch of {rows}"):
        method(batch(method, rows), {})


@NAMES
def test_a_batch_without_labels_is_refused(name):
    method = made(name)
    given = [{"image": view["image"]} for view in batch(method)]
    with pytest.raises(KeyError, match=r"needs 'label' in the batch, found \['image'\]"):
        method(given, {})


@NAMES
def test_labels_of_several_regions_are_refused(name):
    method = made(name)
    given = [{**view, "label": view["label"].expand(-1, 3, -1, -1)} for view in batch(method)]
    with pytest.raises(ValueError, match=r"takes labels \(4, 1, 16, 16\), found \(4, 3, 16, 16\): give class numbers"):
        method(given, {})


@NAMES
def test_labels_between_classes_are_refused(name):
    method = made(name)
    given = [{**view, "label": view["label"] / 2} for view in batch(method)]
    with pytest.raises(ValueError, match="label: expected class numbers, found 0.5 at .* voxel.* mode"):
        method(given, {})


@NAMES
def test_a_class_that_the_network_does_not_have_is_named(name):
    method = made(name)
    given = [{**view, "label": torch.full_like(view["label"], 3)} for view in batch(method)]
    with pytest.raises(ValueError, match="must be classes from 0 to 2, found 3 at"):
        method(given, {})


@NAMES
@pytest.mark.parametrize("labelled", [0, 1.5])
def test_a_number_of_rows_without_meaning_is_refused(name, labelled):
    with pytest.raises(ValueError, match="labelled_per_batch (is 0|must be an integer of at least 1)"):
        made(name, labelled)


def test_a_row_is_not_pasted_into_itself():
    with pytest.raises(ValueError, match="pastes labeled images into each other: give 2 of them a batch, found 1"):
        made("BCP", labelled=1)
    method = made("UniMatch")
    with pytest.raises(ValueError, match="pastes unlabeled images into each other: give 2 of them a batch, found 1"):
        method(batch(method, rows=3), {})


def steps(method, optimizer, first, last):
    """Steps of two epochs of two each, as a trainer makes them; the losses."""
    losses = []
    for iteration in range(first, last):
        if iteration % 2 == 0:
            method.set_epoch(1 + iteration // 2)
            torch.manual_seed(iteration)
        method.iteration = iteration
        loss = method(batch(method, seed=iteration), {})["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step()
        losses.append(loss.item())
    return losses


def optimizer_of(method):
    return torch.optim.SGD(method.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)


@NAMES
def test_a_resumed_run_goes_on_bit_for_bit(name, tmp_path):
    """The state dictionaries after one or two epochs are enough, whatever a method holds besides its network."""
    for saved in (2, 4):
        method = made(name)
        optimizer = optimizer_of(method)
        steps(method, optimizer, 0, saved)
        own = {key: each.state_dict() for key, each in method.optimizers.items()}
        saved_state = {"method": method.state_dict(), "optimizer": optimizer.state_dict(), "own": own}
        torch.save(saved_state, tmp_path / "saved.pt")
        expected = steps(method, optimizer, saved, saved + 4)

        resumed = made(name)
        for parameter in resumed.parameters():
            torch.nn.init.uniform_(parameter)
        other = optimizer_of(resumed)
        state = torch.load(tmp_path / "saved.pt", weights_only=True)
        resumed.load_state_dict(state["method"])
        other.load_state_dict(state["optimizer"])
        for key, each in resumed.optimizers.items():
            each.load_state_dict(state["own"][key])
        assert steps(resumed, other, saved, saved + 4) == expected and len(set(expected)) == 4
        for key, value in method.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[key]), key


@NAMES
def test_the_predictor_is_the_student(name):
    method = made(name)
    assert method.predictor is method.network
    assert method.predictor.state_dict().keys() == unet().state_dict().keys()
    trained = {id(parameter) for parameter in method.parameters() if parameter.requires_grad}
    others = ("second", "head", "heads", "decoders")
    modules = [method.network, *(getattr(method, part) for part in others if hasattr(method, part))]
    assert trained == {id(parameter) for module in modules for parameter in module.parameters()}


@NAMES
def test_metatensors_give_the_plain_losses(name):
    method, losses = made(name), []
    method.iteration = 5
    for wrap in (lambda tensor: tensor, MetaTensor):
        copied = copy.deepcopy(method)
        copied.set_epoch(1)
        torch.manual_seed(0)
        given = [{key: wrap(value) for key, value in view.items()} for view in batch(method)]
        losses.append(copied(given, {}))
    for key, value in losses[0].items():
        assert torch.equal(value, losses[1][key]) and type(losses[1][key]) is torch.Tensor, key

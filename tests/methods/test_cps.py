# SPDX-License-Identifier: Apache-2.0
"""Cross pseudo-supervision: its loss by hand, and that two networks learn which differ."""

import copy

import pytest
import torch
from semi_supervised_cases import SUPERVISED, convolutions, gradients, parts, views
from torch.nn.functional import cross_entropy

from monai_cl_ext.methods import CrossPseudoSupervision


def made(**more):
    return CrossPseudoSupervision(convolutions(0), convolutions(1), SUPERVISED, 2, **more).train()


def test_the_loss_and_its_gradients_are_those_of_the_formula():
    method, (view,) = made(consistency_weight=0.7), views()
    networks = copy.deepcopy(method.network), copy.deepcopy(method.second)
    losses = method([view], {})
    first, second = (network(view["image"]) for network in networks)
    supervised = SUPERVISED(first[:2], view["label"][:2]) + SUPERVISED(second[:2], view["label"][:2])
    classes = first[2:].argmax(1), second[2:].argmax(1)
    consistency = cross_entropy(first[2:], classes[1]) + cross_entropy(second[2:], classes[0])
    for found, expected in zip(parts(losses, method), (supervised, consistency), strict=True):
        torch.testing.assert_close(found, expected)
    for own, other in zip((method.network, method.second), networks, strict=True):
        found, wanted = gradients(losses["loss"], own), gradients(supervised + 0.7 * consistency, other)
        for one, expected in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, expected)


def test_the_consistency_alone_moves_both_networks():
    method = made()
    method(views(), {})["consistency"].backward()
    assert method.network[0].weight.grad.any() and method.second[0].weight.grad.any()


def test_the_first_network_is_the_result():
    method = made()
    assert method.predictor is method.network
    assert {id(parameter) for parameter in method.parameters()} > {id(each) for each in method.second.parameters()}


def test_equal_weights_are_refused():
    network = convolutions()
    for second in (network, copy.deepcopy(network)):
        with pytest.raises(ValueError, match="equal weights and would always agree"):
            CrossPseudoSupervision(network, second, SUPERVISED, 2)
    second = copy.deepcopy(network)
    with torch.no_grad():
        second[3].bias[0] += 1
    CrossPseudoSupervision(network, second, SUPERVISED, 2)

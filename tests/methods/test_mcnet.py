# SPDX-License-Identifier: Apache-2.0
"""MC-Net and MC-Net+: their loss by hand, one encoder of several decoders, and networks that they refuse."""

import copy

import pytest
import torch
from monai.networks.nets import BasicUNet, DynUNet
from semi_supervised_cases import SUPERVISED, gradients, parts, unet, views

from monai_cl_ext.methods import MCNet


def made(**more):
    return MCNet(unet(dtype=torch.float64), SUPERVISED, 2, **more).train()


@pytest.mark.parametrize("decoders", [2, 3])
def test_the_loss_and_its_gradients_are_those_of_the_formula(decoders):
    method, (view,) = made(consistency_weight=0.7, decoders=decoders, temperature=0.2), views(dtype=torch.float64)
    network, variants = copy.deepcopy(method.network), copy.deepcopy(method.decoders)
    losses = method([view], {})
    seen = type(method.stages)(network, *arguments_of(method.stages))
    features = seen.encode(view["image"])
    predictions = [network.final_conv(seen.decode(features))]
    predictions += [each.network.final_conv(each.decode(features)) for each in variants]
    assert len(predictions) == decoders
    supervised = sum(SUPERVISED(each[:2], view["label"][:2]) for each in predictions)
    consistency = 0
    for i, own in enumerate(predictions):
        for j, other in enumerate(predictions):
            if i != j:
                p = other.softmax(1)
                target = p**5 / (p**5 + (1 - p) ** 5)
                consistency = consistency + (own.softmax(1) - target).square().mean()
    for found, expected in zip(parts(losses, method), (supervised, consistency), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    for own, other in ((method.network, network), (method.decoders, variants)):
        wanted = gradients(supervised + 0.7 * consistency, other)
        for found, expected in zip(gradients(losses["loss"], own), wanted, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def arguments_of(seen):
    return seen.encoder_prefixes, seen.block_prefixes, seen.output_prefix


def test_the_first_decoder_is_the_networks_own_and_the_encoder_is_shared():
    method = made()
    (view,) = views(dtype=torch.float64)
    losses = method([view], {})
    assert method.predictor is method.network and len(method.decoders) == 2
    names = {name.split(".")[2] for name, _ in method.decoders.named_parameters()}
    assert names == {"upcat_4", "upcat_3", "upcat_2", "upcat_1", "final_conv"}
    for name in ("supervised", "consistency"):
        for part in (method.network.conv_0, method.network.upcat_1, *method.decoders):
            assert any(gradient.any() for gradient in gradients(losses[name], part)), name


def test_all_rows_are_to_agree():
    method, (view,) = made(), views(dtype=torch.float64)
    view["image"].requires_grad_()
    (gradient,) = torch.autograd.grad(method.eval()([view], {})["consistency"], view["image"])
    assert all(row.any() for row in gradient)


def test_labels_of_unlabeled_rows_are_not_looked_at():
    method, (view,) = made(), views(dtype=torch.float64)
    ignored = {**view, "label": view["label"].clone()}
    ignored["label"][2:] = 255
    assert torch.equal(method([view], {})["loss"], method([ignored], {})["loss"])


def test_networks_and_arguments_without_meaning_are_refused():
    for decoders in (1, 4):
        with pytest.raises(ValueError, match=rf"decoders must be 2 \(MC-Net\) or 3 \(MC-Net\+\), found {decoders}"):
            made(decoders=decoders)
    with pytest.raises(ValueError, match="temperature must be a finite number above 0, found 0"):
        made(temperature=0)
    shuffled = BasicUNet(2, 1, 3, (4, 4, 4, 4, 8, 4), upsample="pixelshuffle")
    with pytest.raises(ValueError, match="found neither in the decoder of BasicUNet"):
        MCNet(shuffled, SUPERVISED, 2)
    deep = DynUNet(2, 1, 3, [3] * 3, [1, 2, 2], [2, 2], filters=(4, 6, 8), deep_supervision=True, deep_supr_num=1)
    with pytest.raises(ValueError, match="MCNet trains one map of logits of DynUNet, which was built with deep"):
        MCNet(deep, SUPERVISED, 2)

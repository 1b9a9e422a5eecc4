# SPDX-License-Identifier: Apache-2.0
"""SuperpixelFCN and LNSNet: their parameters, shapes, gradients, export and refusals."""

import pytest
import torch
from backbone_cases import numbers_of

from monai_cl_ext.networks import LNSNet, SuperpixelFCN


def test_parameters_are_those_of_the_papers():
    assert numbers_of(SuperpixelFCN()) == 2_269_785
    assert numbers_of(SuperpixelFCN(in_channels=1)) == 2_269_785 - 2 * 16 * 9
    assert numbers_of(LNSNet()) == 7_495
    assert numbers_of(LNSNet().reconstruction) == 105


def test_shapes_and_probabilities():
    found = SuperpixelFCN()(torch.randn(2, 3, 32, 48))
    assert found.shape == (2, 9, 32, 48) and torch.allclose(found.sum(1), torch.ones(2, 32, 48))
    net = LNSNet()
    features = net(torch.randn(2, 5, 7, 10))
    assert features.shape == (2, 20, 7, 10) and features.min() == 0 and net.reconstruct(features).shape == (2, 5, 7, 10)


def test_features_of_lnsnet_are_those_of_the_loops_of_its_paper():
    torch.manual_seed(0)
    net, x = LNSNet().double(), torch.randn(1, 5, 6, 7, dtype=torch.float64)

    def convolved(conv, values):
        dilation, (_, _, height, width) = conv.dilation[0], values.shape
        wide = torch.nn.functional.pad(values, [dilation] * 4, mode="reflect")
        out = conv.bias[None, :, None, None].expand(1, -1, height, width).clone()
        for row in range(3):
            for column in range(3):
                part = wide[:, :, row * dilation :, column * dilation :][:, :, :height, :width]
                out += torch.einsum("oi,bihw->bohw", conv.weight[:, :, row, column], part)
        return out

    def activated(values):
        mean, deviation = values.mean((2, 3), keepdim=True), values.var((2, 3), unbiased=False, keepdim=True)
        return ((values - mean) / (deviation + 1e-5).sqrt()).clamp_min(0)

    first = [convolved(branch, x) for branch in net.branches]
    middle = activated(convolved(net.middle[1], activated(torch.cat([*first, x], 1))))
    expected = activated(convolved(net.features[0], torch.cat([middle, x], 1)))
    assert torch.allclose(net(x), expected, atol=1e-10)


@pytest.mark.parametrize("net, channels", [(SuperpixelFCN, 3), (LNSNet, 5)])
def test_gradient_reaches_every_parameter_and_scripts_agree(net, channels):
    torch.manual_seed(0)
    module, image = net().train(), torch.randn(2, channels, 32, 16)
    found = module(image)
    (found + module.reconstruct(found).mean() if net is LNSNet else found).square().sum().backward()
    taken_out = {  # a normalization takes the bias before it out again
        name for name, _ in LNSNet().named_parameters() if name.endswith(".bias") and name[:-4] in BEFORE_NORMALIZATION
    }
    for name, parameter in module.named_parameters():
        assert name in taken_out or parameter.grad.abs().sum() > 0, name
    with torch.no_grad():
        assert torch.equal(torch.jit.script(module.eval())(image), module(image))


BEFORE_NORMALIZATION = {"branches.0.", "branches.1.", "branches.2.", "middle.1.", "features.0."}


def test_wrong_images_are_refused():
    with pytest.raises(ValueError, match="multiple of 16, found 40"):
        SuperpixelFCN()(torch.zeros(1, 3, 32, 40))
    with pytest.raises(ValueError, match="in_channels"):
        SuperpixelFCN(0)
    for shape in ((1, 3, 8, 8), (1, 5, 2, 8), (1, 5, 8, 8, 8)):
        with pytest.raises(ValueError, match=r"\(B, 5, H, W\) of at least 3 x 3"):
            LNSNet()(torch.zeros(shape))

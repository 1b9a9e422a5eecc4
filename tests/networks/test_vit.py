# SPDX-License-Identifier: Apache-2.0
"""The vision transformer for crops of several sizes: the formula, gradients, export and start."""

import pytest
import torch
from monai.networks.utils import convert_to_torchscript
from published_vit import published, reference
from torch import nn

from monai_cl_ext.networks import MultiCropViT
from monai_cl_ext.networks.vit_weights import load_dino_weights

SMALL = {"hidden_size": 24, "mlp_dim": 96, "num_layers": 3, "num_heads": 2}


def small(dims=2, channels=1, **arguments):
    torch.manual_seed(0)
    return MultiCropViT(channels, 32, 8, spatial_dims=dims, **SMALL, **arguments)


@pytest.fixture(scope="module")
def state():
    return published(24, 3, 8, 1, 4)


@pytest.fixture(scope="module")
def loaded(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "vit.pth"
    torch.save(state, path)
    net = small()
    load_dino_weights(net, path)
    return net.double().eval()


@pytest.mark.parametrize("size", [(32, 32), (16, 16), (24, 48), (8, 40)])
def test_forward_equals_the_formulas_for_every_size(loaded, state, size):
    image = torch.randn(2, 1, *size, dtype=torch.float64)
    torch.testing.assert_close(loaded(image), reference(state, image, heads=2), rtol=1e-9, atol=1e-9)


def test_the_last_blocks_are_those_of_the_probe(loaded, state):
    image = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    expected = reference(state, image, heads=2, last=2)
    torch.testing.assert_close(loaded.last_blocks(image, 2), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(loaded.last_blocks(image, 1), loaded(image), rtol=0, atol=0)
    with pytest.raises(ValueError, match="count must be one of 1, 2, 3, found 4"):
        loaded.last_blocks(image)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("size", [16, 32])
def test_gradient_reaches_every_parameter(dims, size):
    net = small(dims, drop_path=0.1).train()
    nn.functional.cross_entropy(net(torch.randn(8, 1, *(size,) * dims)), torch.arange(8)).backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.any() for parameter in net.parameters())


@pytest.mark.parametrize("dims", [2, 3])
def test_scripted_network_gives_the_same(dims, tmp_path):
    net = small(dims, drop_path=0.5)
    images = [torch.randn(2, 1, *(size,) * dims) for size in (32, 16, 40)]
    scripted = convert_to_torchscript(net, str(tmp_path / "vit.ts"), inputs=images[:1], verify=True, device="cpu")
    for image in images:
        torch.testing.assert_close(scripted(image), net(image), rtol=0, atol=0)
    with pytest.raises(torch.jit.Error, match="multiple of its patch, 8: found 33"):
        scripted(torch.zeros(1, 1, *(33,) * dims))


def test_positions_are_interpolated_linearly_in_three_dimensions():
    net = small(3)
    positions = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(1, 4, 4, 4, 24)  # grow along the first axis
    net.patch_embedding.position_embeddings.data = positions.reshape(1, 64, 24).clone()
    found = net._positions([2, 4, 4]).view(2, 4, 4, 24)
    torch.testing.assert_close(found, torch.tensor([0.5, 2.5]).view(2, 1, 1, 1).expand(2, 4, 4, 24))


def test_stochastic_depth_leaves_out_branches_in_training_alone():
    net, plain = small(drop_path=0.9), small()
    plain.load_state_dict(net.state_dict())
    image = torch.randn(1, 1, 32, 32).expand(64, -1, -1, -1)
    assert torch.equal(net.eval()(image), plain(image))
    rows = net.train()(image).detach()
    assert len(rows.unique(dim=0)) > 3
    rates = [getattr(block.mlp.drop2, "drop_prob", 0.0) for block in net.blocks]
    assert rates == pytest.approx([0.0, 0.45, 0.9])
    assert rates == pytest.approx([getattr(block.attn.drop_output, "drop_prob", 0.0) for block in net.blocks])


def test_the_start_is_dinos():
    net = MultiCropViT(num_layers=1)
    assert sum(parameter.numel() for parameter in MultiCropViT().parameters()) == 21_665_664 - 384  # ViT-S/16
    for module in net.modules():
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.02) and not module.bias.any()
        if isinstance(module, nn.LayerNorm):
            assert module.eps == 1e-6 and (module.weight == 1).all() and not module.bias.any()
    for tensor in (net.cls_token, net.patch_embedding.position_embeddings):
        assert tensor.std().item() == pytest.approx(0.02, rel=0.15)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="multiple of its patch, 16: found 100"):
        MultiCropViT(img_size=100)
    with pytest.raises(ValueError, match="multiple of its patch, 8: found 20"):
        small()(torch.zeros(1, 1, 32, 20))
    with pytest.raises(ValueError, match="spatial_dims must be one of 2, 3, found 1"):
        MultiCropViT(spatial_dims=1)
    with pytest.raises(ValueError, match="drop_path"):
        MultiCropViT(drop_path=1.5)

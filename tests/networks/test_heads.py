# SPDX-License-Identifier: Apache-2.0
"""Heads: shapes, the formula, the start, and the error for another image size."""

import math

import pytest
import torch

from monai_cl_ext.networks import (
    FlatMLPHead,
    GCLUNet,
    mlp_head,
    pointwise_head,
    region_projection,
    stages,
)


def test_mlp_head_is_linear_relu_linear():
    head = mlp_head(6, 3, hidden=5).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    first, last = head[0], head[2]
    expected = torch.clamp(x @ first.weight.T + first.bias, min=0) @ last.weight.T + last.bias
    torch.testing.assert_close(head(x), expected)
    assert mlp_head(6)[0].out_features == 6 and mlp_head(6)[2].out_features == 128


def test_batch_norm_of_each_hidden_layer():
    head = mlp_head(6, 3, hidden=5, layers=3, batch_norm=True).double()
    for module in (head[1], head[4]):
        module.weight.data.uniform_(0.5, 1.5)
        module.bias.data.normal_()
    x = torch.randn(8, 6, dtype=torch.float64)
    expected = x
    for linear, norm in ((head[0], head[1]), (head[3], head[4])):
        expected = expected @ linear.weight.T + linear.bias
        expected = (expected - expected.mean(0)) / (expected.var(0, correction=0) + 1e-5).sqrt()
        expected = (expected * norm.weight + norm.bias).clamp(min=0)
    expected = expected @ head[6].weight.T + head[6].bias
    torch.testing.assert_close(head(x), expected)
    assert [tuple(parameter.shape) for parameter in head.parameters() if parameter.ndim == 2] == [
        (5, 6),
        (5, 5),
        (3, 5),
    ]
    assert [layer.out_features for layer in mlp_head(6, layers=3, batch_norm=True)[::3]] == [6, 6, 128]


HEADS_OF_PAPERS = {  # widths from layer to layer, biases, normalization of the hidden layers and of the output
    "BYOL": ({"hidden": 16}, [6, 16, 4], True, True, False),
    "SimSiam, MoCo v3": (
        {"hidden": 16, "layers": 3, "bias": False, "output_norm": True}, [6, 16, 16, 4], False, True, True
    ),
    "linear": ({"layers": 1, "batch_norm": False}, [6, 4], True, False, False),
    "MoCo v3 predictor": ({"hidden": 16, "bias": False, "output_norm": True}, [6, 16, 4], False, True, True),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS_OF_PAPERS)
def test_heads_of_other_papers_can_be_expressed(name):
    arguments, widths, bias, hidden_norm, output_norm = HEADS_OF_PAPERS[name]
    head = mlp_head(6, 4, **{"batch_norm": True} | arguments).double()
    layers = [module for module in head if isinstance(module, torch.nn.Linear)]
    assert [layers[0].in_features, *(layer.out_features for layer in layers)] == widths
    assert all((layer.bias is not None) == bias for layer in layers)
    x = torch.randn(8, 6, dtype=torch.float64)
    expected = x
    for number, layer in enumerate(layers, start=1):
        expected = expected @ layer.weight.T + (layer.bias if bias else 0)
        last = number == len(layers)
        if output_norm if last else hidden_norm:
            expected = (expected - expected.mean(0)) / (expected.var(0, correction=0) + 1e-5).sqrt()
        expected = expected if last else expected.clamp(min=0)
    torch.testing.assert_close(head(x), expected)
    if output_norm:
        assert not list(head[-1].parameters())


def test_flat_head_is_two_layers_without_bias():
    head = FlatMLPHead(4 * 3 * 2, features=5, hidden=7).double()
    x = torch.randn(3, 4, 3, 2, dtype=torch.float64)
    assert [parameter.shape for parameter in head.parameters()] == [(7, 24), (5, 7)]
    expected = torch.clamp(x.reshape(3, 24) @ head.layers[0].weight.T, min=0) @ head.layers[2].weight.T
    torch.testing.assert_close(head(x), expected)


def test_flat_head_of_the_paper_and_its_start():
    seen = stages(GCLUNet())
    size = seen.bottleneck_size((192, 192))
    head = FlatMLPHead(seen.channels[-1] * math.prod(size))
    first, last = head.layers[0], head.layers[2]
    assert (first.in_features, first.out_features, last.out_features) == (4608, 1024, 128)
    for layer in (first, last):
        bound = math.sqrt(6 / (layer.in_features + layer.out_features))
        assert 0.99 * bound < layer.weight.abs().max().item() <= bound
    with pytest.raises(ValueError, match=r"built for 4608 features, found a map of shape \(128, 5, 5\), 3200"):
        head(torch.zeros(1, 128, 5, 5))


def test_widths_are_checked():
    with pytest.raises(ValueError, match="features"):
        mlp_head(4, 0)
    with pytest.raises(ValueError, match="hidden"):
        mlp_head(4, 2, hidden=-1)
    with pytest.raises(ValueError, match="in_features"):
        FlatMLPHead(0)
    with pytest.raises(ValueError, match="layers must be an integer of at least 1, found 0"):
        mlp_head(4, layers=0)


@pytest.mark.parametrize("dims", [2, 3])
def test_map_head_is_two_pointwise_layers_at_the_decoders_width(dims):
    head = pointwise_head(6, dims).double()
    x = torch.randn(3, 6, *[4] * dims, dtype=torch.float64)
    assert [parameter.shape[:2] for parameter in head.parameters() if parameter.ndim > 1] == [(6, 6), (6, 6)]
    first, last = head[0].weight.flatten(1), head[3].weight.flatten(1)
    hidden = torch.einsum("oi,bi...->bo...", first, x)
    axes = [0, *range(2, 2 + dims)]
    mean, variance = hidden.mean(axes, keepdim=True), hidden.var(axes, correction=0, keepdim=True)
    expected = torch.einsum("oi,bi...->bo...", last, ((hidden - mean) / (variance + 1e-3).sqrt()).clamp(min=0))
    torch.testing.assert_close(head(x), expected)
    assert expected.min() < 0, "no activation at the end"


def test_the_papers_map_head_and_region_layer():
    seen = stages(GCLUNet())
    width = seen.decoder_channels[2]
    head, layer = pointwise_head(width), region_projection(width, 3)
    assert sum(parameter.numel() for parameter in head.parameters()) == 2 * 64 * 64 + 2 * 64
    assert head[0].weight.std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.05)
    assert (layer.in_features, layer.out_features, layer.bias) == (576, 128, None)
    bound = math.sqrt(6 / (576 + 128))
    assert 0.99 * bound < layer.weight.abs().max().item() <= bound
    assert region_projection(4, 2, 5, spatial_dims=3).weight.shape == (5, 32)


def test_widths_of_the_local_heads_are_checked():
    with pytest.raises(ValueError, match="channels"):
        pointwise_head(0)
    with pytest.raises(ValueError, match="spatial_dims"):
        pointwise_head(4, 1)
    with pytest.raises(ValueError, match="region_size"):
        region_projection(4, 0)

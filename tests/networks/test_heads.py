# SPDX-License-Identifier: Apache-2.0
"""Heads: shapes, the formula, the start, and the error for another image size."""

import math

import pytest
import torch

from monai_cl_ext.networks import (
    FlatProjectionHead,
    GCLUNet,
    map_projection_head,
    projection_head,
    region_projection,
    stages,
    wcl_head,
)


def test_projection_head_is_linear_relu_linear():
    head = projection_head(6, 3, hidden=5).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    first, last = head[0], head[2]
    expected = torch.clamp(x @ first.weight.T + first.bias, min=0) @ last.weight.T + last.bias
    torch.testing.assert_close(head(x), expected)
    assert projection_head(6)[0].out_features == 6 and projection_head(6)[2].out_features == 128


def test_wcl_head_normalises_each_hidden_layer():
    head = wcl_head(6, 3, hidden=5).double()
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
    assert [layer.out_features for layer in wcl_head(6)[::3]] == [6, 6, 128]


def test_flat_head_is_two_layers_without_bias():
    head = FlatProjectionHead(4 * 3 * 2, features=5, hidden=7).double()
    x = torch.randn(3, 4, 3, 2, dtype=torch.float64)
    assert [parameter.shape for parameter in head.parameters()] == [(7, 24), (5, 7)]
    expected = torch.clamp(x.reshape(3, 24) @ head.first.weight.T, min=0) @ head.last.weight.T
    torch.testing.assert_close(head(x), expected)


def test_flat_head_of_the_paper_and_its_start():
    seen = stages(GCLUNet())
    size = seen.bottleneck_size((192, 192))
    head = FlatProjectionHead(seen.channels[-1] * math.prod(size))
    assert (head.first.in_features, head.first.out_features, head.last.out_features) == (4608, 1024, 128)
    for layer in (head.first, head.last):
        bound = math.sqrt(6 / (layer.in_features + layer.out_features))
        assert 0.99 * bound < layer.weight.abs().max().item() <= bound
    with pytest.raises(ValueError, match=r"built for 4608 features, found a map of shape \(128, 5, 5\), 3200"):
        head(torch.zeros(1, 128, 5, 5))


def test_widths_are_checked():
    with pytest.raises(ValueError, match="features"):
        projection_head(4, 0)
    with pytest.raises(ValueError, match="hidden"):
        projection_head(4, 2, hidden=-1)
    with pytest.raises(ValueError, match="in_features"):
        FlatProjectionHead(0)
    for arguments, name in (((0,), "in_features"), ((4, -1), "features"), ((4, 2, 0), "hidden")):
        with pytest.raises(ValueError, match=name):
            wcl_head(*arguments)


@pytest.mark.parametrize("dims", [2, 3])
def test_map_head_is_two_pointwise_layers_at_the_decoders_width(dims):
    head = map_projection_head(6, dims).double()
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
    head, layer = map_projection_head(width), region_projection(width, 3)
    assert sum(parameter.numel() for parameter in head.parameters()) == 2 * 64 * 64 + 2 * 64
    assert head[0].weight.std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.05)
    assert (layer.in_features, layer.out_features, layer.bias) == (576, 128, None)
    bound = math.sqrt(6 / (576 + 128))
    assert 0.99 * bound < layer.weight.abs().max().item() <= bound
    assert region_projection(4, 2, 5, spatial_dims=3).weight.shape == (5, 32)


def test_widths_of_the_local_heads_are_checked():
    with pytest.raises(ValueError, match="channels"):
        map_projection_head(0)
    with pytest.raises(ValueError, match="spatial_dims"):
        map_projection_head(4, 1)
    with pytest.raises(ValueError, match="region_size"):
        region_projection(4, 0)

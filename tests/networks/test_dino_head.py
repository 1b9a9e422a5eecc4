# SPDX-License-Identifier: Apache-2.0
"""DINO's head: the formula, the start, what is trained, and that it can be copied and stored."""

import copy
import math

import pytest
import torch

from monai_cl_ext.networks import DINOHead


def small(**arguments):
    torch.manual_seed(0)
    return DINOHead(6, 20, hidden=10, bottleneck=5, **arguments)


def scrambled(head):
    """Biases and magnitudes away from their start, so that forgetting one of them shows."""
    for parameter in head.parameters():
        parameter.data.add_(torch.rand_like(parameter))
    return head.double()


def test_head_is_the_formula():
    head = scrambled(small())
    x = torch.randn(4, 6, dtype=torch.float64)
    y = x
    for index, layer in enumerate((head.layers[0], head.layers[2], head.layers[4])):
        y = y @ layer.weight.T + layer.bias
        if index < 2:
            y = y / 2 * (1 + torch.erf(y / math.sqrt(2)))
    assert len(head.layers) == 5
    y = y / y.square().sum(1, keepdim=True).sqrt()
    magnitude, direction = (getattr(head.last_layer.parametrizations.weight, f"original{each}") for each in (0, 1))
    prototypes = magnitude * direction / direction.square().sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(head(x), y @ prototypes.T, rtol=1e-12, atol=1e-12)
    assert head.last_layer.bias is None


def test_outputs_start_as_cosines():
    head = small()
    torch.testing.assert_close(head.last_layer.weight.norm(dim=1), torch.ones(20))
    assert head(100 * torch.randn(50, 6)).abs().max() <= 1 + 1e-6


def test_the_start_is_the_releases():
    head = DINOHead(384, 64)
    widths = [(layer.in_features, layer.out_features) for layer in head.layers[::2]]
    assert widths == [(384, 2048), (2048, 2048), (2048, 256)]
    for layer in head.layers[::2]:
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.02) and not layer.bias.any()
    assert DINOHead(4, hidden=4).last_layer.out_features == 65536


@pytest.mark.parametrize("normalize", [True, False])
def test_the_magnitude_is_trained_only_when_it_is_free(normalize):
    head = small(normalize_last_layer=normalize)
    head(torch.randn(4, 6)).square().sum().backward()
    without = [name for name, parameter in head.named_parameters() if parameter.grad is None]
    assert without == (["last_layer.parametrizations.weight.original0"] if normalize else [])


def test_outputs_are_float32_under_autocast():
    head = small()
    seen = []
    head.layers.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        outputs = head(torch.randn(4, 6))
    assert seen == [torch.bfloat16] and outputs.dtype == torch.float32
    assert (outputs != outputs.bfloat16().float()).any()


def test_it_can_be_copied_and_stored(tmp_path):
    head, other = scrambled(small()).float(), small()
    x = torch.randn(4, 6)
    assert torch.equal(copy.deepcopy(head)(x), head(x))
    torch.save(head.state_dict(), tmp_path / "head.pt")
    other.load_state_dict(torch.load(tmp_path / "head.pt", weights_only=True))
    assert torch.equal(other(x), head(x))


@pytest.mark.parametrize("name", ["in_features", "out_dim", "hidden", "bottleneck"])
def test_widths_must_be_positive(name):
    with pytest.raises(ValueError, match=name):
        DINOHead(**{"in_features": 4, "out_dim": 4, name: 0})


def test_batch_normalization_stands_before_each_gelu_alone():
    head = small(batch_norm=True)
    names = [type(layer).__name__ for layer in head.layers]
    assert names == ["Linear", "BatchNorm1d", "GELU"] * 2 + ["Linear"]
    x = torch.randn(4, 6)
    assert head(x).shape == (4, 20) and head.layers[1].num_batches_tracked == 1

# SPDX-License-Identifier: Apache-2.0
"""The KAN linear layer: its splines are SciPy's, it computes its formula, and starts as the formula's fit to noise."""

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from monai_cl_ext.networks import KANLinear
from monai_cl_ext.networks.backbones.kan_linear import spline_basis

KNOTS = np.arange(-3, 9) * 0.4 - 1  # 5 intervals over [-1, 1], 3 more knots on either side


def basis_of(x):
    """Values (..., 8) of the splines, one after the other, 0 where one is not defined."""
    splines = [BSpline.basis_element(KNOTS[j : j + 5], extrapolate=False) for j in range(8)]
    return np.nan_to_num(np.stack([spline(x) for spline in splines], axis=-1))


def silu(x):
    return x / (1 + np.exp(-x))


def test_the_basis_is_that_of_scipy_inside_and_outside_of_the_grid():
    x = np.concatenate([np.linspace(-4, 4, 2001), KNOTS, [-100.0, 100.0]])
    found = spline_basis(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, basis_of(x), rtol=0, atol=1e-13)
    inside, outside = np.abs(x) <= 1, np.abs(x) >= 2.2
    np.testing.assert_allclose(found[inside].sum(-1), 1, atol=1e-13)
    assert outside.sum() > 900 and np.abs(found[outside]).max() < 1e-13


def test_the_layer_is_its_formula():
    torch.manual_seed(0)
    layer = KANLinear(5, 4).double()
    layer.spline_weight.data.normal_()
    x = 1.5 * torch.randn(2, 3, 5, dtype=torch.float64)
    base, scale, spline = (each.detach().numpy() for each in layer.parameters())
    assert (base.shape, scale.shape, spline.shape) == ((4, 5), (4, 5), (4, 5, 8))
    expected, values = np.zeros((2, 3, 4)), basis_of(x.numpy())
    for row in np.ndindex(2, 3):
        for o in range(4):
            for i in range(5):
                expected[row][o] += base[o, i] * silu(x[row][i].item())
                for j in range(8):
                    expected[row][o] += scale[o, i] * spline[o, i, j] * values[row][i, j]
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12, atol=1e-13)


def test_far_away_the_base_acts_alone():
    layer = KANLinear(3, 2).double()
    x = torch.tensor([[2.2, -2.3, 50.0]], dtype=torch.float64)
    torch.testing.assert_close(layer(x), torch.from_numpy(silu(x.numpy())) @ layer.base_weight.T)


def test_it_starts_as_the_least_squares_fit_of_least_norm_to_noise():
    torch.manual_seed(0)
    layer = KANLinear(40, 30).double()
    assert sum(parameter.numel() for parameter in layer.parameters()) == 10 * 40 * 30
    for weight in (layer.base_weight, layer.spline_scale):
        bound = 40**-0.5
        assert 0.95 * bound < weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05) and abs(weight.mean()) < 0.05 * bound
    coefficients = layer.spline_weight.detach().reshape(-1, 8).numpy()
    design = basis_of(np.linspace(-1, 1, 6))
    noise = coefficients @ design.T  # six values and eight coefficients: the fit is exact
    assert 0.0098 < np.abs(noise).max() < 0.01 + 1e-9 and noise.std() == pytest.approx(0.01 / 3**0.5, rel=0.03)
    assert np.abs(np.corrcoef(noise.T) - np.eye(6)).max() < 0.1
    fit = np.linalg.lstsq(design, noise.T, rcond=None)[0]
    np.testing.assert_allclose(coefficients, fit.T, rtol=0, atol=1e-8)


def test_gradients():
    torch.manual_seed(0)
    layer = KANLinear(3, 2).double()
    x = (2 * torch.randn(4, 3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *weights: layer(x), (x, *layer.parameters()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_the_splines_but_not_their_places(dtype):
    x = torch.linspace(-2.5, 2.5, 101).to(dtype)
    found = spline_basis(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found, spline_basis(x.double()).to(dtype), rtol=0, atol=torch.finfo(dtype).eps / 2)
    torch.manual_seed(0)
    layer = KANLinear(16, 8)
    tokens = torch.randn(5, 16)
    with torch.autocast("cpu", dtype):
        mixed = layer(tokens)
    whole = layer.to(dtype)(tokens.to(dtype))
    assert mixed.dtype == whole.dtype == dtype
    for result in (mixed, whole):
        torch.testing.assert_close(result.double(), layer.double()(tokens.double()), rtol=0, atol=0.02)


def test_it_is_built_without_values_and_has_no_state_but_its_parameters():
    with torch.device("meta"):
        layer = KANLinear(4, 3)
    assert layer(torch.empty(2, 7, 4, device="meta")).shape == (2, 7, 3)
    assert set(layer.state_dict()) == dict(layer.named_parameters()).keys()

# SPDX-License-Identifier: Apache-2.0
"""Noise that can be replayed, and the bias field beside MONAI's."""

import numpy as np
import pytest
import torch
from monai.transforms import RandBiasField
from operation_cases import generator, noise

from monai_cl_ext.transforms import AdditiveNoise, PolynomialBiasField, ViewPolicy


def coefficients_as_ours(coefficients: list[float], degree: int, dims: int) -> torch.Tensor:
    """MONAI's list of coefficients in the grid of all orders, as its own generator places it."""
    grid = np.zeros((degree + 1,) * dims)
    if dims == 2:
        grid[np.tril_indices(degree + 1)] = coefficients
    else:
        orders = [order for order in np.ndindex(grid.shape) if sum(order) <= degree]
        for order, coefficient in zip(orders, coefficients, strict=True):
            grid[order] = coefficient
    return torch.from_numpy(grid).flatten()


@pytest.mark.parametrize("degree", [1, 3, 5])
@pytest.mark.parametrize("size", [(21, 14), (11, 9, 8), (7, 1, 5)], ids=str)
def test_the_field_is_monai_s(size, degree):
    theirs, dims = RandBiasField(degree, (-0.3, 0.3), dtype=np.float64, prob=1.0).set_random_state(0), len(size)
    image, expected, params = noise(3, 2, *size, dtype=torch.float64), [], []
    for row in image:
        expected.append(torch.as_tensor(theirs(row)))
        params.append(coefficients_as_ours(theirs._coeff, degree, dims))
    ours = PolynomialBiasField(-0.3, 0.3, degree, dims)
    found = ours.apply(image, torch.stack(params))
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=0)  # MONAI's coordinates are float32
    # What ours draws has its zeros where MONAI has no coefficient, and nowhere else.
    drawn = ours.make_params(4, generator())
    assert torch.equal(drawn != 0, (torch.stack(params)[:1] != 0).expand(4, -1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_field_in_lower_precision(dtype):
    policy, image = ViewPolicy([PolynomialBiasField(0.0, 0.1)]), noise(4, 3, 20, 14)
    params = policy.make_params(4, generator())
    found = policy.apply({"image": image.to(dtype)}, params)["image"]
    expected = policy.apply({"image": image.double()}, params)["image"]
    assert found.dtype == dtype
    rounding = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), expected, atol=rounding, rtol=rounding)


def test_noise_has_the_deviation_drawn_at_every_place_and_channel():
    operation = AdditiveNoise(0.05, 0.3)
    image, params = torch.full((6, 3, 64, 64), 5.0), operation.make_params(6, generator())
    added = operation.apply(image, params) - image
    torch.testing.assert_close(added.flatten(1).std(dim=1), params[:, 0], rtol=0.03, atol=0)
    assert added.flatten(1).mean(dim=1).abs().max() < 0.01
    flat = added.flatten(0, 1).flatten(1)
    apart = torch.corrcoef(flat) - torch.eye(18)
    assert apart.abs().max() < 0.08  # channels and samples are independent
    neighbors = torch.corrcoef(torch.stack([flat[:, :-1].flatten(), flat[:, 1:].flatten()]))[0, 1]
    assert neighbors.abs() < 0.02


def test_kept_parameters_give_the_same_noise_whatever_the_batch():
    policy, image = ViewPolicy([AdditiveNoise(0.1, 0.1, probability=0.5)]), noise(8, 1, 20, 14)
    params = policy.make_params(8, generator())
    first = policy.apply({"image": image}, params)["image"]
    torch.manual_seed(1)
    assert torch.equal(policy.apply({"image": image}, params)["image"], first)
    order = torch.tensor([5, 2, 7])
    assert torch.equal(policy.apply({"image": image[order]}, params[order])["image"], first[order])
    other = params.clone()
    other[:, 1] += 1
    touched = params[:, 0] > 0
    changed = (policy.apply({"image": image}, other)["image"] != first).flatten(1).any(dim=1)
    assert 0 < touched.sum() < 8 and torch.equal(changed, touched)


def test_seeds_survive_half_precision_and_the_global_generator_is_left_alone():
    policy, image = ViewPolicy([AdditiveNoise(0.1, 0.1)]), torch.zeros(2, 1, 8, 8)
    params = torch.tensor([[0.1, 2.0**24 - 1], [0.1, 2.0**24 - 2]])
    state = torch.get_rng_state()
    views = [policy.apply({"image": image.to(dtype)}, params)["image"] for dtype in (torch.float32, torch.float16)]
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(views[1].float(), views[0], atol=1e-3, rtol=0)
    assert not torch.allclose(views[0][0], views[0][1], atol=0.01)


@pytest.mark.parametrize("make", [
    lambda: AdditiveNoise(-0.1, 0.1),
    lambda: AdditiveNoise(0.2, 0.1),
    lambda: PolynomialBiasField(0.1, 0.0),
    lambda: PolynomialBiasField(0.0, 0.1, degree=0),
    lambda: PolynomialBiasField(0.0, 0.1, spatial_dims=4),
])  # fmt: skip
def test_arguments_without_meaning_are_refused(make):
    with pytest.raises(ValueError, match="found"):
        make()


def test_a_field_of_other_dimensions_is_refused():
    with pytest.raises(ValueError, match="spatial_dims=2, found an image batch of shape"):
        ViewPolicy([PolynomialBiasField(0.0, 0.1)], spatial_dims=3)({"image": noise(1, 1, 6, 5, 4)}, generator())

# SPDX-License-Identifier: Apache-2.0
"""Gaussian blur beside SciPy's, and what a blur must leave alone."""

import pytest
import torch
from operation_cases import generator, noise
from scipy.ndimage import gaussian_filter

from monai_cl_ext.transforms import GaussianBlur


@pytest.mark.parametrize("size", [(20, 14), (12, 10, 8), (7, 3), (9, 1, 5)], ids=str)
@pytest.mark.parametrize("kernel_size", [None, 1, 3, 9])
def test_each_sample_is_scipy_s_truncated_and_mirrored_gaussian(size, kernel_size):
    """Sides below the kernel's reach are mirrored more than once."""
    operation = GaussianBlur(0.2, 3.0, kernel_size)
    image, params = noise(5, 2, *size, dtype=torch.float64), operation.make_params(5, generator()).double()
    blurred = operation.apply(image, params)
    radius = 9 if kernel_size is None else kernel_size // 2
    for row in range(5):
        for channel in range(2):
            plane = image[row, channel].numpy()
            expected = gaussian_filter(plane, params[row].item(), mode="mirror", radius=radius)
            torch.testing.assert_close(blurred[row, channel], torch.from_numpy(expected), atol=1e-12, rtol=0)


def test_sigma_0_changes_no_bit():
    image = 100 * noise(3, 1, 9, 7)
    params = torch.tensor([[0.0], [1.0], [0.0]])
    blurred = GaussianBlur(0.0, 2.0).apply(image, params)
    assert torch.equal(blurred[[0, 2]], image[[0, 2]]) and not torch.allclose(blurred[1], image[1], atol=1)


def test_the_kernel_reaches_three_of_the_largest_deviations():
    assert [GaussianBlur(0.0, high).kernel_size for high in (0.0, 0.1, 1.0, 1.5, 2.0)] == [1, 3, 7, 11, 13]


def test_an_impulse_spreads_with_the_variance_asked_for():
    image = torch.zeros(2, 1, 61, 61, dtype=torch.float64)
    image[:, :, 30, 30] = 1.0
    sigma = torch.tensor([[1.0], [4.0]], dtype=torch.float64)
    blurred = GaussianBlur(0.0, 10.0).apply(image, sigma)[:, 0]
    place = torch.arange(61, dtype=torch.float64) - 30
    for axis in (1, 2):
        variance = (blurred.sum(dim=axis) * place**2).sum(dim=1)
        torch.testing.assert_close(variance, sigma[:, 0] ** 2, rtol=1e-3, atol=0)
    torch.testing.assert_close(blurred.sum(dim=(1, 2)), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("size", [(20, 14), (12, 10, 8)], ids=str)
def test_constants_and_the_range_of_values_are_kept(size):
    operation = GaussianBlur(0.5, 3.0)
    params = operation.make_params(4, generator())
    torch.testing.assert_close(operation.apply(torch.full((4, 1, *size), 0.3), params), torch.full((4, 1, *size), 0.3))
    image = noise(4, 1, *size)
    blurred = operation.apply(image, params)
    assert blurred.min() > image.min() and blurred.max() < image.max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_loses_only_the_rounding_of_its_ends(dtype):
    operation = GaussianBlur(1.0, 2.0)
    image, params = noise(3, 1, 20, 14).to(dtype), operation.make_params(3, generator()).to(dtype)
    expected = operation.apply(image.double(), params.double())
    found = operation.apply(image, params)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, atol=torch.finfo(dtype).eps, rtol=0)


@pytest.mark.parametrize("arguments", [(-0.1, 1.0), (2.0, 1.0), (0.0, float("inf")), (0.0, 1.0, 4), (0.0, 1.0, -3)])
def test_arguments_without_meaning_are_refused(arguments):
    with pytest.raises(ValueError, match="found"):
        GaussianBlur(*arguments)

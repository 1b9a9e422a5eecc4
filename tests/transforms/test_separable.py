# SPDX-License-Identifier: Apache-2.0
"""Convolution with a kernel for each sample and axis, in both ways, beside SciPy's."""

import pytest
import torch
from operation_cases import generator, noise
from scipy.ndimage import correlate1d

from monai_cl_ext.transforms.operations.separable import at_once, one_by_one

each_way = pytest.mark.parametrize("way", [at_once, one_by_one], ids=lambda way: way.__name__)


def kernels(rows: int, *taps: int | None) -> list[torch.Tensor | None]:
    """Kernels without symmetry; those of the first row are a middle tap alone."""
    drawn = [None if count is None else torch.rand(rows, count, generator=generator(count)).double() for count in taps]
    for kernel in drawn:
        if kernel is not None:
            kernel[0] = 0
            kernel[0, kernel.shape[1] // 2] = 1
    return drawn


@each_way
@pytest.mark.parametrize(("padding_mode", "mode"), [("reflect", "mirror"), ("replicate", "nearest")])
@pytest.mark.parametrize(
    "case", [((20, 14), (5, 9)), ((6, 5), (1, 13)), ((9, 8, 7), (3, None, 5)), ((4, 1, 6), (5, 5, None))]
)
def test_each_sample_is_scipy_s_with_its_own_kernels(case, padding_mode, mode, way):
    size, taps = case
    image, each = noise(4, 2, *size, dtype=torch.float64), kernels(4, *taps)
    found = way(image, each, padding_mode)
    for row in range(4):
        for channel in range(2):
            expected = image[row, channel].numpy()
            for axis, kernel in enumerate(each):
                if kernel is not None:
                    expected = correlate1d(expected, kernel[row].numpy(), axis, mode=mode)
            torch.testing.assert_close(found[row, channel], torch.from_numpy(expected), atol=1e-12, rtol=0)
    assert torch.equal(found[0], image[0])


@each_way
def test_gradient_flows_through_both_ways(way):
    image = noise(2, 1, 6, 5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda values: way(values, kernels(2, 3, 5), "reflect"), image)


@each_way
def test_without_kernels_nothing_changes(way):
    image = noise(2, 1, 6, 5)
    assert torch.equal(way(image, [None, None], "replicate"), image)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_ways_agree_where_taps_are_all_but_nothing(dtype):
    taps = torch.softmax(-0.5 * (torch.arange(-4, 5) / torch.tensor([[0.05], [0.15], [0.3], [2.0]])) ** 2, dim=1)
    image, each = noise(4, 3, 12, 10, dtype=dtype), [taps.to(dtype)] * 2
    tolerance = 20 * torch.finfo(dtype).eps
    torch.testing.assert_close(
        one_by_one(image, each, "reflect"), at_once(image, each, "reflect"), atol=tolerance, rtol=0
    )

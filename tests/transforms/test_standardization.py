# SPDX-License-Identifier: Apache-2.0
"""Standardization by fixed numbers per channel."""

import pytest
import torch

from monai_cl_ext.transforms import Standardization, ViewPolicy, scale_policy, strong_policy


@pytest.mark.parametrize("dims", [2, 3])
def test_each_channel_has_its_numbers_and_nothing_is_drawn(dims):
    image = torch.rand(2, 3, *(4,) * dims, dtype=torch.float64)
    mean, std = [0.5, 0.25, 0.0], [0.5, 2.0, 1.0]
    policy = ViewPolicy([Standardization(mean, std)], spatial_dims=dims)
    found = policy({"image": image}, torch.Generator())["image"]
    for channel in range(3):
        torch.testing.assert_close(found[:, channel], (image[:, channel] - mean[channel]) / std[channel])


def test_it_is_whole_at_every_strength():
    operation = Standardization([0.5], [0.25])
    policy = scale_policy(ViewPolicy([*strong_policy(color=False).operations, operation]), 0.3)
    assert policy.operations[-1] is operation


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="a mean and a std for each channel"):
        Standardization([0.5], [0.2, 0.3])
    with pytest.raises(ValueError, match="std must be a finite number above 0"):
        Standardization([0.5], [0.0])
    with pytest.raises(ValueError, match="has 3 channels, found an image of 1"):
        Standardization([0, 0, 0], [1, 1, 1]).apply(torch.zeros(1, 1, 4, 4), torch.empty(1, 0))

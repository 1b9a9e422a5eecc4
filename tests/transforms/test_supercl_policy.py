# SPDX-License-Identifier: Apache-2.0
"""SuperCL's views, step by step, and the four views of a batch."""

import numpy as np
import pytest
import torch
from operation_cases import generator, noise
from scipy.ndimage import gaussian_filter

from monai_cl_ext.transforms import PrepareViews, pcl_policy, supercl_policy


def unit(image: np.ndarray) -> np.ndarray:
    return (image - image.min()) / (image.max() - image.min())


def test_a_view_is_the_steps_written_out():
    policy, image = supercl_policy(), 40 * noise(6, 1, 20, 14, dtype=torch.float64) - 7
    params = policy.make_params(6, generator())
    made = policy.apply({"image": image}, params)["image"]
    for row in range(6):
        brightness, contrast, sigma = params[row].tolist()
        assert 0.1 <= brightness <= 1 and 0.8 <= contrast <= 1.2 and 1 <= sigma <= 3
        plane = brightness * unit(image[row, 0].numpy())
        plane = np.clip(plane.mean() + contrast * (plane - plane.mean()), 0, 1)
        expected = unit(gaussian_filter(plane, sigma, mode="mirror", radius=1))
        torch.testing.assert_close(made[row, 0], torch.from_numpy(expected), atol=1e-6, rtol=0)


def test_views_fill_0_to_1_stay_in_place_and_differ():
    view = {"image": 900 * noise(8, 4, 32, 32) + 100, "label": torch.randint(4, (8, 1, 32, 32))}
    policy, random = supercl_policy(), generator()
    first, second = policy(view, random), policy(view, random)
    for made in (first, second):
        assert (made["image"].flatten(1).amin(dim=1) == 0).all() and (made["image"].flatten(1).amax(dim=1) == 1).all()
        assert made["label"] is view["label"]
    assert (first["image"] - second["image"]).abs().flatten(1).amax(dim=1).min() > 1e-3
    like = np.corrcoef(first["image"].flatten(), second["image"].flatten())[0, 1]
    assert like > 0.95


@pytest.mark.parametrize("value", [0.0, 0.3, -1000.0])
def test_a_constant_image_becomes_0(value):
    made = supercl_policy()({"image": torch.full((4, 1, 16, 16), value)}, generator())["image"]
    assert (made == 0).all()


def test_four_views_as_the_method_makes_them():
    """Views 3 and 4 are warped from 1 and 2, so they hold the intensities of these and of no other view."""
    policies = [supercl_policy(), supercl_policy(), pcl_policy(probability=0.0), pcl_policy(probability=0.0)]
    prepare = PrepareViews(policies, made_from=[None, None, 0, 1])
    views, *_ = prepare({"image": noise(6, 1, 32, 32)})
    values = [view["image"].flatten(1).sort(dim=1).values for view in views]
    torch.testing.assert_close(values[2], values[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(values[3], values[1], atol=1e-5, rtol=0)
    assert not torch.allclose(values[0], values[1], atol=2e-3)

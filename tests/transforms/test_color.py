# SPDX-License-Identifier: Apache-2.0
"""Saturation, hue and grayscale beside Python's colorsys, and color jitter beside its steps written out."""

import colorsys
import warnings

import pytest
import torch
from operation_cases import generator, noise

from monai_cl_ext.transforms import (
    Contrast,
    Grayscale,
    Hue,
    IntensityScaling,
    OperationGroup,
    Saturation,
    ViewPolicy,
    color_jitter,
)
from monai_cl_ext.transforms.operations.color import warn_not_rgb


def gray(red: float, green: float, blue: float) -> float:
    return 0.299 * red + 0.587 * green + 0.114 * blue


def pixels(image: torch.Tensor) -> list[list[float]]:
    return image.movedim(0, -1).reshape(-1, 3).tolist()


def photographs(rows: int) -> torch.Tensor:
    """Random colors, and gray, black, white and primary ones among them."""
    image = noise(rows, 3, 6, 5, dtype=torch.float64)
    special = [(0.3, 0.3, 0.3), (0, 0, 0), (1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.2, 0.7, 0.7), (0.5, 0.5, 0.1)]
    image.flatten(2)[:, :, : len(special)] = torch.tensor(special, dtype=torch.float64).T
    return image


def test_hue_shifts_as_colorsys_does():
    image, params = photographs(5), torch.tensor([[-0.5], [-0.1], [0.0], [0.03], [0.5]], dtype=torch.float64)
    shifted = Hue(0.5).apply(image, params)
    for row in range(5):
        for before, after in zip(pixels(image[row]), pixels(shifted[row]), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*before)
            expected = colorsys.hsv_to_rgb((hue + params[row].item()) % 1.0, saturation, value)
            assert after == pytest.approx(expected, abs=1e-9)


def test_saturation_and_grayscale_written_out():
    image, params = photographs(3), torch.tensor([[0.0], [0.6], [1.9]], dtype=torch.float64)
    free, clipped = (Saturation(0, 2, limits=limits).apply(image, params) for limits in (None, (0.0, 1.0)))
    without = Grayscale(1.0).apply(image, torch.tensor([[0.0], [1.0], [1.0]], dtype=torch.float64))
    for row in range(3):
        rows = (pixels(each[row]) for each in (image, free, clipped, without))
        for before, after, within, colorless in zip(*rows, strict=True):
            level = gray(*before)
            expected = [level + params[row].item() * (value - level) for value in before]
            assert after == pytest.approx(expected, abs=1e-12)
            assert within == pytest.approx([min(max(value, 0), 1) for value in expected], abs=1e-12)
            assert colorless == pytest.approx(before if row == 0 else [level] * 3, abs=1e-12)
    assert free.max() > 1 and free.min() < 0


def test_contrast_about_the_gray_mean_and_limits():
    image, params = photographs(2), torch.tensor([[0.5], [1.9]], dtype=torch.float64)
    found = Contrast(0.5, 2, mean="gray", limits=(0.0, 1.0)).apply(image, params)
    brighter = IntensityScaling(0.5, 2, limits=(0.0, 0.8)).apply(image, params)
    for row in range(2):
        mean, factor = sum(gray(*pixel) for pixel in pixels(image[row])) / 30, params[row].item()
        for before, after, bright in zip(pixels(image[row]), pixels(found[row]), pixels(brighter[row]), strict=True):
            assert after == pytest.approx([min(max(mean + factor * (v - mean), 0), 1) for v in before], abs=1e-12)
            assert bright == pytest.approx([min(factor * value, 0.8) for value in before], abs=1e-12)
    one = image[:, :1]
    channel, gray_mean = (Contrast(0.5, 2, mean=mean).apply(one, params) for mean in ("channel", "gray"))
    assert torch.equal(channel, gray_mean)


def test_color_jitter_is_its_four_steps_all_or_none():
    (group,) = color_jitter(0.4, 0.4, 0.2, 0.1, probability=0.5)
    assert isinstance(group, OperationGroup) and group.probability == 0.5
    policy, image = ViewPolicy([group]), photographs(40)
    params = policy.make_params(40, generator())
    jittered = policy.apply({"image": image}, params)["image"]
    expected = image
    for operation, part in zip(group.operations, params.double().split(1, dim=1), strict=True):
        expected = operation.apply(expected, part)
    torch.testing.assert_close(jittered, expected, atol=1e-9, rtol=0)
    assert [type(each).__name__ for each in group.operations] == ["IntensityScaling", "Contrast", "Saturation", "Hue"]
    assert jittered.min() >= 0 and jittered.max() <= 1
    alone = (params == group.identity).all(dim=1)
    assert 10 < alone.sum() < 30 and (jittered - image)[alone].abs().max() < 1e-6


def test_color_jitter_leaves_out_what_has_no_magnitude_and_clips_nothing_without_limits():
    (group,) = color_jitter(saturation=0, hue=0, limits=None, probability=1.0)
    assert [type(each).__name__ for each in group.operations] == ["IntensityScaling", "Contrast"]
    volume = 300 * noise(8, 1, 6, 5) - 100
    assert ViewPolicy([group])({"image": volume}, generator())["image"].min() < -50
    assert color_jitter(0, 0, 0, 0) == []


@pytest.mark.parametrize("channels", [1, 4])
def test_images_without_colors_stay_and_are_warned_of_once(channels):
    warn_not_rgb.cache_clear()
    policy = ViewPolicy([Saturation(0.0, 0.5), Hue(0.4), Grayscale(1.0)])
    view = {"image": noise(4, channels, 6, 5)}
    with pytest.warns(UserWarning, match=f"of {channels} channel") as found:
        made = policy(view, generator())
        policy(view, generator())
    assert len(found) == 1 and torch.equal(made["image"], view["image"])


def test_grayscale_and_colors_do_not_warn():
    warn_not_rgb.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ViewPolicy([Grayscale(1.0)])({"image": noise(2, 1, 6, 5)}, generator())
        ViewPolicy([Saturation(0.5, 1.5), Hue(0.1)])({"image": noise(2, 3, 6, 5)}, generator())


@pytest.mark.parametrize("make", [
    lambda: Saturation(-0.1, 1.0),
    lambda: Saturation(0.5, 1.0, limits=(0.0, float("inf"))),
    lambda: Hue(0.6),
    lambda: Hue(-0.1),
    lambda: Grayscale(1.2),
    lambda: color_jitter(brightness=1.0),
])  # fmt: skip
def test_arguments_without_meaning_are_refused(make):
    with pytest.raises(ValueError, match="found"):
        make()

# SPDX-License-Identifier: Apache-2.0
"""Averages over superpixels, and contrast of images under the graph of these maps."""

import pytest
import torch
from contrast_oracles import assert_same, joint_oracle, rows
from graph_oracles import assert_never_waits, assert_tiles_change_nothing, average_oracle, components_oracle

from monai_cl_ext.losses import NTXentLoss, SuperpixelGraphContrastiveLoss, average_superpixel_map

NORMALIZE = pytest.mark.parametrize("normalize", ["map", "superpixel"])
IMAGES = 5


def drawn(seed=0, size=(3, 4)):
    """Feature maps (2, B, 3, *S) with positive mean and superpixels (2, B, *S), of two views."""
    generator = torch.Generator().manual_seed(seed)
    f = torch.randn(2, IMAGES, 3, *size, dtype=torch.float64, generator=generator)
    return f, torch.randint(-1, 4, (2, IMAGES, *size), generator=generator)


def labels_of(f, superpixels, normalize="map"):
    return components_oracle(average_oracle(f.flatten(0, 1), superpixels.flatten(0, 1), normalize))


def expected_loss(z, labels):
    return joint_oracle(z, lambda a, k: a % IMAGES == k % IMAGES or labels[a] == labels[k], lambda a, k: True, 0.1)


@NORMALIZE
@pytest.mark.parametrize("size", [(3, 4), (2, 3, 2)])
def test_map_equals_the_oracle_with_gradient(normalize, size):
    f, superpixels = drawn(size=size)
    f = f[0].requires_grad_()
    result = average_superpixel_map(f, superpixels[0], normalize)
    expected = average_oracle(f, superpixels[0], normalize)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)
    weight = torch.rand_like(result)
    assert_same((result * weight).sum(), (expected * weight).sum(), f)


def test_map_is_divided_by_its_pixels_by_default():
    f = torch.arange(8.0).view(1, 2, 2, 2)  # the mean over channels is 2, 3, 4, 5
    superpixels = torch.tensor([[[7, 7], [2, 7]]])
    assert average_superpixel_map(f, superpixels).tolist() == [[2.5, 2.5, 1.0, 2.5]]
    (own,) = average_superpixel_map(f, superpixels, "superpixel").tolist()
    assert own == pytest.approx([10 / 3, 10 / 3, 4, 10 / 3])


@NORMALIZE
def test_names_of_superpixels_do_not_matter_to_the_map(normalize):
    f, superpixels = drawn()
    expected = average_superpixel_map(f[0], superpixels[0], normalize)
    for names in superpixels[0] * 10**12 - 7, superpixels[0].int(), superpixels[0] / 3:
        torch.testing.assert_close(average_superpixel_map(f[0], names, normalize), expected)


@NORMALIZE
def test_map_gradcheck(normalize):
    f, superpixels = drawn()
    function = lambda f: average_superpixel_map(f, superpixels[0], normalize)  # noqa: E731
    assert torch.autograd.gradcheck(function, f[0].requires_grad_())


def test_map_is_float32_under_autocast():
    f, superpixels = drawn()
    half = f[0].bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        result = average_superpixel_map(half, superpixels[0])
    torch.testing.assert_close(result, average_superpixel_map(half.float(), superpixels[0]), rtol=0, atol=0)
    assert result.dtype == torch.float32


def test_map_names_bad_input():
    with pytest.raises(ValueError, match="normalize must be one of 'map', 'superpixel', found 'cluster'"):
        average_superpixel_map(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4), "cluster")
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\) and \(2, 4, 5\)"):
        average_superpixel_map(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 5))


@NORMALIZE
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_oracle_with_gradient(normalize, seed):
    z, (f, superpixels) = rows(2 * IMAGES, 4), drawn(seed)
    loss = SuperpixelGraphContrastiveLoss(normalize=normalize)(*z.chunk(2), *f, *superpixels)
    assert_same(loss, expected_loss(z, labels_of(f, superpixels, normalize)), z)


def test_the_two_ways_to_average_give_different_graphs():
    assert any(labels_of(*drawn(seed)) != labels_of(*drawn(seed), "superpixel") for seed in range(3))


def test_views_of_an_image_are_positive_without_joining_components():
    """Views 1 of the images are alike, so are views 2; closing the pairs would make all rows positive."""
    z = rows(2 * IMAGES, 4)
    f = torch.ones(2, IMAGES, 1, 3, 4, dtype=torch.float64)
    f[1] = -1
    superpixels = torch.zeros(2, IMAGES, 3, 4)
    labels = [0] * IMAGES + [1] * IMAGES
    assert labels_of(f, superpixels) == labels
    loss = SuperpixelGraphContrastiveLoss()(*z.chunk(2), *f, *superpixels)
    assert_same(loss, expected_loss(z, labels), z)
    assert abs(loss - expected_loss(z, [0] * 2 * IMAGES)) > 1e-2


def test_images_whose_views_are_alike_are_nt_xent():
    z = rows(2 * IMAGES, 4)
    f = torch.eye(IMAGES).view(1, IMAGES, 1, 1, IMAGES).repeat(2, 1, 1, 1, 1)
    superpixels = torch.arange(IMAGES).view(1, 1, 1, IMAGES).expand(2, IMAGES, 1, IMAGES)
    assert_same(SuperpixelGraphContrastiveLoss()(*z.chunk(2), *f, *superpixels), NTXentLoss()(*z.chunk(2)), z)


def test_base_temperature_multiplies():
    z, (f, superpixels) = rows(2 * IMAGES, 4), drawn()
    loss = SuperpixelGraphContrastiveLoss(base_temperature=0.07)(*z.chunk(2), *f, *superpixels)
    assert_same(loss, expected_loss(z, labels_of(f, superpixels)) * 0.1 / 0.07, z)


def test_no_gradient_passes_through_the_graph():
    z, (f, superpixels) = rows(2 * IMAGES, 4), drawn()
    f.requires_grad_()
    SuperpixelGraphContrastiveLoss()(*z.chunk(2), *f, *superpixels).backward()
    assert f.grad is None
    assert z.grad.any()


def test_gradcheck():
    f, superpixels = drawn()
    loss = SuperpixelGraphContrastiveLoss(0.2)
    assert torch.autograd.gradcheck(lambda z: loss(*z.chunk(2), *f, *superpixels), rows(2 * IMAGES, 3))


def test_order_and_scale_change_nothing():
    z, (f, superpixels) = rows(2, IMAGES, 4), drawn()
    loss = SuperpixelGraphContrastiveLoss()(*z, *f, *superpixels)
    order = [3, 0, 4, 1, 2]
    moved = SuperpixelGraphContrastiveLoss()(*3 * z[:, order], *f[:, order] / 7, *superpixels[:, order])
    assert_same(moved, loss, z)
    assert_same(SuperpixelGraphContrastiveLoss()(*z.flip(0), *f.flip(0), *superpixels.flip(0)), loss, z)


def test_tile_size_changes_nothing(monkeypatch):
    z, (f, superpixels) = rows(2 * IMAGES, 4), drawn()
    loss = SuperpixelGraphContrastiveLoss()
    assert_tiles_change_nothing(monkeypatch, lambda: loss(*z.chunk(2), *f, *superpixels), 2 * IMAGES, z)


@pytest.mark.parametrize("images", [0, 1])
def test_nothing_to_repel_gives_zero_and_is_differentiable(images):
    z = torch.randn(2, images, 4, requires_grad=True)
    loss = SuperpixelGraphContrastiveLoss()(*z, *torch.randn(2, images, 3, 2, 2), *torch.zeros(2, images, 2, 2))
    loss.backward()
    assert loss.item() == 0
    assert not z.grad.any()


def test_bfloat16_autocast_gives_float32():
    z, (f, superpixels) = rows(2 * IMAGES, 4).detach().bfloat16(), drawn()
    f, loss = f.bfloat16(), SuperpixelGraphContrastiveLoss()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(*z.chunk(2), *f, *superpixels)
    assert value.dtype == torch.float32
    assert value.isfinite()
    torch.testing.assert_close(value, loss(*z.float().chunk(2), *f.float(), *superpixels), rtol=0, atol=0)


@NORMALIZE
def test_never_waits_for_the_device(normalize):
    z, (f, superpixels) = rows(2 * IMAGES, 4), drawn()
    loss = SuperpixelGraphContrastiveLoss(normalize=normalize)
    assert_never_waits(loss, *z.chunk(2), *f, *superpixels)
    assert_never_waits(lambda f, s: average_superpixel_map(f, s, normalize), f[0].requires_grad_(), superpixels[0])


@pytest.mark.parametrize(
    ("changed", "shape", "found"),
    [
        (0, (3, 4), r"\(B, D\).*z1 \(3, 4\), z2 \(2, 4\)"),
        (3, (2, 3, 4, 5), r"f1 and f2.*the 2 images.*\(2, 3, 4, 4\) and \(2, 3, 4, 5\)"),
        (5, (2, 4, 5), r"superpixels.*and \(2, 4, 5\)"),
    ],
)
def test_shapes_must_fit(changed, shape, found):
    shapes = [(2, 4), (2, 4), (2, 3, 4, 4), (2, 3, 4, 4), (2, 4, 4), (2, 4, 4)]
    shapes[changed] = shape
    with pytest.raises(ValueError, match=found):
        SuperpixelGraphContrastiveLoss()(*map(torch.zeros, shapes))


@pytest.mark.parametrize(
    ("argument", "value"), [("temperature", -1), ("base_temperature", 0), ("normalize", "cluster")]
)
def test_arguments_must_be_in_range(argument, value):
    with pytest.raises(ValueError, match=f"^{argument} must"):
        SuperpixelGraphContrastiveLoss(**{argument: value})

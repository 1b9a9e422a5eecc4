# SPDX-License-Identifier: Apache-2.0
"""GCL's local loss against the paper's and the release's regions, written out one by one."""

import itertools

import numpy as np
import pytest
import torch
from contrast_oracles import assert_same
from local_oracles import local_oracle, region, related_pairs, released_negatives, released_regions
from torch import nn

from monai_cl_ext.losses import LocalContrastiveLoss

# Six images: three volumes, partition 0 in all of them, 1 in two, 2 in one; two images of one volume share partition 0.
PARTITION = torch.tensor([0, 1, 0, 1, 0, 0])
VOLUME = torch.tensor([4, 4, 7, 7, 9, 9])
EXPLICIT = [(0, 0), (2, 5), (7, 1), (6, 6)]
EXPLICIT_3D = [(0, 0, 0), (2, 1, 3), (3, 4, 0)]
STRATEGIES = pytest.mark.parametrize("strategy", ["lr", "ld"])


def maps(*shape, seed=0):
    """Both views' maps in one float64 leaf (2, B, C, *S) that asks for a gradient."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *shape, dtype=torch.float64, generator=generator).requires_grad_()


def loss_of(f, strategy="ld", partition=PARTITION, volume=VOLUME, **arguments):
    return LocalContrastiveLoss(strategy, **arguments)(f[0], f[1], partition, volume)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("count", [9, 13])
@pytest.mark.parametrize("size", [(12, 12), (9, 15)], ids=["square", "not-square"])
def test_lr_equals_the_oracle(k, count, size):
    f = maps(2, 3, *size)
    expected = local_oracle(list(zip(*f, strict=True)), released_regions(count, k, size), k)
    assert_same(LocalContrastiveLoss("lr", k, count)(*f), expected, f)


@pytest.mark.parametrize("count, k", [(9, 1), (9, 2), (9, 3), (13, 1), (13, 3)])
@pytest.mark.parametrize("size", [(12, 12), (10, 17)], ids=["square", "not-square"])
def test_released_negatives_equal_the_oracle(count, k, size):
    f = maps(2, 3, *size)
    regions, negatives = released_regions(count, k, size), released_negatives(count, k, size)
    assert all(len(places) == 5 for places in negatives) and len(negatives) == count
    expected = local_oracle(list(zip(*f, strict=True)), regions, k, negatives=negatives)
    assert_same(LocalContrastiveLoss("lr", k, count, "released")(*f), expected, f)


def test_the_released_corners_at_192_pixels():
    # three decoder blocks bring 192 pixels to 48, where the release has e = 44, h = 22, q = 11, t = 33
    corners = LocalContrastiveLoss("lr", 3, 13)._corners_on((48, 48))
    assert corners[2:5] == [(0, 44), (22, 0), (22, 22)] and corners[9:] == [(11, 11), (11, 33), (33, 11), (33, 33)]


@pytest.mark.parametrize("count, k, size", [(27, 1, (3, 9, 4)), (35, 1, (5, 7, 6)), (35, 3, (8, 12, 9))])
def test_regions_of_volumes_lie_as_in_a_plane(count, k, size):
    """Halves of each axis, then the quarter points, and as many negatives as there are other regions."""
    marks = []
    for length in size:
        end = length - (4 if k == 3 else k)
        marks.append({"0": 0, "q": end // 4, "h": end // 2, "t": 3 * end // 4, "e": end})
    places = [*itertools.product("0he", repeat=3), *itertools.product("qt", repeat=3)][:count]
    corners = [tuple(mark[letter] for mark, letter in zip(marks, place, strict=True)) for place in places]
    f = maps(2, 2, *size)
    expected = local_oracle(list(zip(*f, strict=True)), corners, k)
    assert_same(LocalContrastiveLoss("lr", k, count)(*f), expected, f)


@pytest.mark.parametrize("plane, volume", [(9, 27), (13, 35)])
def test_the_middle_plane_of_a_volume_holds_the_halves_of_a_slice(plane, volume):
    flat = LocalContrastiveLoss("lr", 1, plane)._corners_on((13, 17))[:9]
    middle = [corner[1:] for corner in LocalContrastiveLoss("lr", 1, volume)._corners_on((9, 13, 17)) if corner[0] == 4]
    assert middle == flat


@pytest.mark.parametrize(
    "k, corners, size", [(1, EXPLICIT, (8, 8)), (2, EXPLICIT, (9, 8)), (2, EXPLICIT_3D, (5, 6, 5))]
)
def test_given_corners_equal_the_oracle(k, corners, size):
    f = maps(2, 3, *size)
    expected = local_oracle(list(zip(*f, strict=True)), corners, k)
    assert_same(LocalContrastiveLoss("lr", k, corners)(*f), expected, f)


@pytest.mark.slow
@pytest.mark.parametrize("k, regions, size", [(1, 13, (5, 7)), (3, 9, (9, 8)), (2, EXPLICIT_3D, (5, 6, 5))])
def test_ld_equals_the_oracle(k, regions, size):
    f = maps(6, 2, *size)
    corners = released_regions(regions, k, size) if isinstance(regions, int) else regions
    expected = local_oracle(related_pairs(*f, PARTITION.tolist(), VOLUME.tolist()), corners, k)
    assert_same(loss_of(f, region_size=k, regions=regions), expected, f)


def test_the_oracle_of_ld_counts_as_the_contract():
    # 6 own pairs; partition 0 has images 0, 2, 4, 5 and all but (4, 5) cross volumes, partition 1 has one such pair
    assert len(related_pairs(*maps(6, 1, 1, 1), PARTITION.tolist(), VOLUME.tolist())) == 6 + 4 * (5 + 1)


def test_ld_of_one_volume_is_lr():
    f = maps(6, 2, 8, 8)
    assert_same(loss_of(f, volume=torch.zeros(6)), loss_of(f, "lr"), f)


def test_ld_of_an_image_without_partition_is_its_lr():
    f = maps(3, 2, 8, 8)
    pairs = related_pairs(*f, [0, 0, -1], [1, 2, 3])
    assert len(pairs) == 3 + 4
    loss = loss_of(f, partition=torch.tensor([0, 0, -1]), volume=torch.tensor([1, 2, 3]))
    assert_same(loss, local_oracle(pairs, released_regions(13, 1, (8, 8)), 1), f)
    unknown = loss_of(f, partition=torch.full((3,), -1), volume=torch.tensor([1, 2, 3]))
    assert_same(unknown, loss_of(f, "lr"), f)


@STRATEGIES
def test_the_projection_takes_each_flattened_region_and_is_trained(strategy):
    f, layer = maps(4, 2, 9, 8), nn.Linear(4 * 2, 5, bias=False).double()
    corners = EXPLICIT[:3]
    loss = loss_of(f, strategy, PARTITION[:4], VOLUME[:4], region_size=2, regions=corners, projection=layer)

    projected = [[layer(torch.stack([region(map_, corner, 2) for corner in corners])) for map_ in view] for view in f]
    rows = [torch.stack([vectors.T for vectors in view]) for view in projected]  # (B, 5, A): each region is one pixel
    pairs = list(zip(*rows, strict=True)) if strategy == "lr" else related_pairs(*rows, [0, 1, 0, 1], [4, 4, 7, 7])
    expected = local_oracle(pairs, [(0,), (1,), (2,)], 1)
    (gradient,) = torch.autograd.grad(loss, layer.weight, retain_graph=True)
    (wanted,) = torch.autograd.grad(expected, layer.weight, retain_graph=True)
    torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-12)
    assert_same(loss, expected, f)
    assert list(LocalContrastiveLoss(projection=layer).state_dict()) == ["projection.weight"]


@pytest.mark.parametrize("strategy, negatives", [("lr", "all"), ("lr", "released"), ("ld", "all")])
def test_gradcheck(strategy, negatives):
    partition, volume = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
    loss = LocalContrastiveLoss(strategy, 1, 9, negatives, 0.3)
    f1, f2 = (view.detach().requires_grad_() for view in maps(3, 2, 3, 3))
    assert torch.autograd.gradcheck(lambda *views: loss(*views, partition, volume), (f1, f2))


@STRATEGIES
def test_order_of_images_exchange_of_views_and_scale_change_nothing(strategy):
    f, order = maps(6, 2, 8, 8), torch.tensor([3, 0, 5, 1, 4, 2])
    scale = torch.logspace(-2, 2, 12, dtype=torch.float64).view(2, 6, 1, 1, 1)
    mixed = (f * scale)[:, order].flip(0)
    assert_same(loss_of(mixed, strategy, PARTITION[order], VOLUME[order]), loss_of(f, strategy), f)


@pytest.mark.parametrize("strategy, negatives", [("lr", "all"), ("lr", "released"), ("ld", "all")])
def test_bfloat16_autocast_gives_float32(strategy, negatives):
    f = maps(6, 2, 12, 12).detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(f, strategy, region_size=3, negatives=negatives)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, loss_of(f.float(), strategy, region_size=3, negatives=negatives), rtol=0, atol=0)


@STRATEGIES
def test_finite_and_right_at_temperature_0005(strategy):
    exact = maps(6, 2, 8, 8)
    f = exact.detach().float().requires_grad_()
    loss, expected = (loss_of(x, strategy, temperature=0.005) for x in (f, exact))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, f)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, exact)[0].float(), rtol=1e-2, atol=1e-3)


@STRATEGIES
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_region_shows(strategy, value):
    f = maps(6, 2, 8, 8).detach()
    f[0, 1, 0, 7, 7] = value
    assert loss_of(f, strategy).isnan()


@STRATEGIES
def test_memory_format_changes_nothing(strategy):
    f = maps(6, 2, 8, 8)
    views = [view.contiguous(memory_format=torch.channels_last) for view in f]
    assert_same(loss_of(views, strategy), loss_of(f, strategy), f)


def test_an_empty_batch_costs_nothing():
    for strategy in ("lr", "ld"):
        f = torch.zeros(2, 0, 2, 8, 8, requires_grad=True)
        loss = loss_of(f, strategy, PARTITION[:0], VOLUME[:0])
        loss.backward()
        assert loss.item() == 0


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"strategy": "gd"}, "'lr', 'ld'"),
        ({"negatives": "some"}, "'all', 'released'"),
        ({"region_size": 0}, "region_size"),
        ({"regions": 5}, "regions must be one of 9, 13, 27, 35, found 5"),
        ({"regions": [(0, 0)]}, "at least two different corners"),
        ({"regions": [(0, 0), (1, 1), (0, 0)]}, "at least two different corners"),
        ({"regions": [(0, 0), (1, 1, 1)]}, "corners of 2 or 3 integers"),
        ({"regions": [(0, 0), (1, -1)]}, "corners of 2 or 3 integers"),
        ({"regions": [(0,), (1,)]}, "corners of 2 or 3 integers"),
        ({"negatives": "released", "region_size": 2}, "region_size 1 and 3, found 2"),
        ({"negatives": "released", "regions": EXPLICIT}, "found strategy 'lr' with 4 corners"),
        ({"negatives": "released", "strategy": "ld"}, "found strategy 'ld'"),
        ({"negatives": "released", "regions": 27}, "found strategy 'lr' with 27 regions"),
        ({"temperature": 0.0}, "temperature"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        LocalContrastiveLoss(**arguments)


def test_regions_may_be_integers_of_numpy():
    corners = np.array([[0, 0], [1, 1]])
    assert LocalContrastiveLoss(regions=corners).corners == [(0, 0), (1, 1)]
    assert LocalContrastiveLoss(regions=np.int64(13)).regions == 13


@pytest.mark.parametrize("k, count, smallest", [(1, 9, 3), (1, 13, 5), (3, 13, 8), (2, 13, 6)])
def test_a_map_that_is_too_small_is_an_error(k, count, smallest):
    loss = LocalContrastiveLoss("lr", k, count)
    assert loss(*maps(1, 1, smallest, smallest)).isfinite()
    for size in [(smallest - 1, smallest - 1), (1, 20), (20, 1)]:
        with pytest.raises(ValueError, match=rf"map of \({size[0]}, {size[1]}\) is too small"):
            loss(*maps(1, 1, *size))


def test_shapes_and_tags_that_do_not_fit_are_named():
    f = maps(6, 2, 8, 8)
    with pytest.raises(ValueError, match=r"f1 and f2 .*\(6, 2, 8, 8\) and \(5, 2, 8, 8\)"):
        LocalContrastiveLoss()(f[0], f[1, 1:])
    with pytest.raises(ValueError, match="in 3D give 27 or 35 regions, or their corners"):
        LocalContrastiveLoss()(*maps(1, 1, 8, 8, 8))
    with pytest.raises(ValueError, match=r"2 pixel\(s\) at \(7, 1\) leaves the map of \(8, 8\): .* up to \(6, 6\)"):
        LocalContrastiveLoss(region_size=2, regions=EXPLICIT)(*f)
    with pytest.raises(ValueError, match=r"needs the partition .*loss\(f1, f2, partition, volume\)"):
        LocalContrastiveLoss("ld")(*f)
    with pytest.raises(ValueError, match="needs the volume"):
        LocalContrastiveLoss("ld")(*f, PARTITION)
    with pytest.raises(ValueError, match=r"volume .*\(6,\), found \(5,\)"):
        LocalContrastiveLoss("ld")(*f, PARTITION, VOLUME[1:])

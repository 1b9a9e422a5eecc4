# SPDX-License-Identifier: Apache-2.0
"""Components of the nearest-neighbor graph, and WCL's contrast under them."""

import pytest
import torch
from contrast_oracles import assert_same, joint_oracle, rows
from graph_oracles import assert_never_waits, assert_tiles_change_nothing, components_oracle, partition_of

from monai_cl_ext.losses import (
    SupervisedContrastiveLoss,
    WeakGraphContrastiveLoss,
    kernel,
    nearest_neighbor_components,
)


def shuffle(count, seed=0):
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def two_views(samples=7, width=3):
    """Rows (2, B, D) whose two views have different graphs."""
    z = rows(2, samples, width, seed=3)
    assert partition_of(components_oracle(z[0])) != partition_of(components_oracle(z[1]))
    return z


def half_oracle(z, labels):
    return joint_oracle(z, lambda a, k: labels[a] == labels[k], lambda a, k: True, 0.1)


def expected_loss(z):
    return (half_oracle(z[0], components_oracle(z[1])) + half_oracle(z[1], components_oracle(z[0]))) / 2


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 17, 64])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_components_are_those_of_scipy(count, seed, dtype):
    x = rows(count, 3, seed=seed).to(dtype)
    labels = nearest_neighbor_components(x)
    assert labels.shape == (count,)
    assert not labels.is_floating_point() and not labels.requires_grad
    assert partition_of(labels) == partition_of(components_oracle(x))
    if count > 1:
        assert labels.unique(return_counts=True)[1].min() >= 2


@pytest.mark.parametrize("seed", range(10))
def test_the_first_of_equal_neighbors_is_taken(seed):
    x = torch.eye(3)[torch.randint(3, (12,), generator=torch.Generator().manual_seed(seed))]
    x[seed % 12] = 0  # equally near to all
    assert partition_of(nearest_neighbor_components(x)) == partition_of(components_oracle(x))


@pytest.mark.parametrize("count", [3, 33, 200])
def test_copies_of_a_row_are_one_component_whatever_their_scale(count):
    x = rows(1, 257, seed=1) * torch.linspace(0.1, 9, count)[:, None]
    assert nearest_neighbor_components(x).unique().numel() == 1
    assert nearest_neighbor_components(x.float(), tile=7).unique().numel() == 1


@pytest.mark.parametrize("count", [2, 31, 32, 33, 300])
def test_a_chain_through_all_rows_is_one_component(count):
    """Each row's nearest is the next of a spiral, so the farthest end is count - 1 links away."""
    angle = torch.linspace(0, 1, count, dtype=torch.float64).mul(torch.pi / 2).sin()
    x = torch.stack([angle.cos(), angle.sin()], dim=1)[shuffle(count)]
    assert nearest_neighbor_components(x).unique().numel() == 1


def test_order_and_scale_of_rows_change_no_component():
    x, order = rows(40, 3), shuffle(40)
    scale = torch.logspace(-3, 3, 40, dtype=torch.float64)[:, None]
    expected = partition_of(nearest_neighbor_components(x)[order])
    assert partition_of(nearest_neighbor_components((x * scale)[order])) == expected


@pytest.mark.parametrize("tile", [1, 7, 50, 100])
def test_tile_size_changes_no_component(tile):
    x = rows(50, 3)
    assert torch.equal(nearest_neighbor_components(x, tile=tile), nearest_neighbor_components(x))


def test_components_need_no_matrix_of_all_pairs(monkeypatch):
    from test_kernel import LargestTensor

    monkeypatch.setitem(kernel.TILE_ELEMENTS, "cpu", 8 * 256)
    with LargestTensor() as largest:
        nearest_neighbor_components(torch.randn(256, 4))
    assert largest.elements == 8 * 256


def test_no_rows_have_no_component():
    assert nearest_neighbor_components(torch.zeros(0, 3)).shape == (0,)


def test_components_want_rows():
    with pytest.raises(ValueError, match=r"\(N, D\), found \(2, 3, 4\)"):
        nearest_neighbor_components(torch.zeros(2, 3, 4))


def test_equals_the_oracle_with_gradient():
    z = two_views()
    assert_same(WeakGraphContrastiveLoss()(*z), expected_loss(z), z)


def test_halves_are_swapped():
    z = two_views()
    kept = sum(SupervisedContrastiveLoss()(view, nearest_neighbor_components(view)) for view in z) / 2
    assert abs(WeakGraphContrastiveLoss()(*z) - kept) > 1e-2


def test_gradcheck():
    assert torch.autograd.gradcheck(lambda z: WeakGraphContrastiveLoss(0.2)(*z), two_views())


def test_order_and_scale_of_rows_and_of_views_change_nothing():
    z, order = two_views(), shuffle(7)
    loss = WeakGraphContrastiveLoss()(*z)
    assert_same(WeakGraphContrastiveLoss()(3 * z[1][order], z[0][order] / 5), loss, z)


def test_tile_size_changes_nothing(monkeypatch):
    z = two_views()
    assert_tiles_change_nothing(monkeypatch, lambda: WeakGraphContrastiveLoss()(*z), 7, z)


@pytest.mark.parametrize("samples", [0, 1])
def test_without_a_neighbor_it_is_zero_and_differentiable(samples):
    z = torch.randn(2, samples, 4, requires_grad=True)
    loss = WeakGraphContrastiveLoss()(*z)
    loss.backward()
    assert loss.item() == 0
    assert not z.grad.any()


def test_bfloat16_autocast_gives_float32():
    z = two_views().detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = WeakGraphContrastiveLoss()(*z)
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    torch.testing.assert_close(loss, WeakGraphContrastiveLoss()(*z.float()), rtol=0, atol=0)


def test_never_waits_for_the_device():
    assert_never_waits(nearest_neighbor_components, rows(7, 3))
    assert_never_waits(WeakGraphContrastiveLoss(), rows(7, 3), rows(7, 3))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"\(B, D\).*z1 \(3, 4\), z2 \(2, 4\)"):
        WeakGraphContrastiveLoss()(torch.zeros(3, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="temperature"):
        WeakGraphContrastiveLoss(0)

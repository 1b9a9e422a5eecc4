# SPDX-License-Identifier: Apache-2.0
"""Contrast under positions."""

import pytest
import torch
from contrast_oracles import assert_same, joint_oracle, rows
from graph_oracles import assert_never_waits, assert_tiles_change_nothing

from monai_cl_ext.losses import NTXentLoss, PositionContrastiveLoss, SupervisedContrastiveLoss

POSITION = torch.tensor([0.1, 0.5, 0.25, 0.4, 1.0])  # two volumes; 0.1 and 0.25 are one threshold apart
THRESHOLD = 0.15


def expected_loss(z, position, threshold):
    """Of z (2B, D), with gradient; distances as fractions of a thousand."""
    at = [round(1000 * place) for place in position.tolist()] * 2
    return joint_oracle(z, lambda a, k: abs(at[a] - at[k]) < round(1000 * threshold), lambda a, k: True, 0.1)


@pytest.mark.parametrize("threshold", [0.05, 0.1, THRESHOLD, 0.3, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_oracle_with_gradient(threshold, dtype):
    z = rows(10, 4)
    loss = PositionContrastiveLoss(threshold)(z[:5], z[5:], POSITION.to(dtype))
    assert_same(loss, expected_loss(z, POSITION, threshold), z)


def test_base_temperature_multiplies():
    z = rows(10, 4)
    loss = PositionContrastiveLoss(THRESHOLD, 0.1, base_temperature=0.07)(z[:5], z[5:], POSITION)
    assert_same(loss, expected_loss(z, POSITION, THRESHOLD) * 0.1 / 0.07, z)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("slices", [3, 7, 10, 20, 31])
def test_slices_exactly_one_threshold_apart_are_not_positive(slices, dtype):
    z = rows(2 * slices, 4).detach()
    position = (torch.arange(slices) + 1).to(dtype) / slices
    loss = PositionContrastiveLoss(1 / slices)(z[:slices], z[slices:], position)
    torch.testing.assert_close(loss, NTXentLoss()(z[:slices], z[slices:]), rtol=0, atol=1e-12)
    margin = 1.01 if torch.finfo(dtype).bits > 16 else 1.9
    wider = PositionContrastiveLoss(margin / slices)(z[:slices], z[slices:], position)
    assert abs(wider - loss) > 1e-2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 1])
def test_patches_are_compared_in_space(threshold, dtype):
    """Places of a grid of 0.1, of which two are exactly 0.5 apart: 3, 0 and 4 steps."""
    steps = torch.tensor([[1, 1, 1], [4, 1, 5], [1, 2, 1], [9, 9, 9], [4, 2, 5]])
    z = rows(10, 4)

    def near(a, k):
        return sum(int(each) ** 2 for each in steps[a % 5] - steps[k % 5]) < round(10 * threshold, 1) ** 2

    loss = PositionContrastiveLoss(threshold)(z[:5], z[5:], steps.to(dtype) / 10)
    assert_same(loss, joint_oracle(z, near, lambda a, k: True, 0.1), z)


def test_a_patch_that_moves_along_one_axis_is_a_slice():
    z = rows(10, 4).detach()
    loss, still = PositionContrastiveLoss(THRESHOLD), torch.full((5,), 0.5)
    for axis in range(3):
        place = [still, still, still]
        place[axis] = POSITION
        assert torch.equal(loss(z[:5], z[5:], torch.stack(place, dim=1)), loss(z[:5], z[5:], POSITION))


def test_groups_far_apart_are_supervised_contrast():
    z = rows(10, 4)
    loss = PositionContrastiveLoss(0.1)(z[:5], z[5:], torch.tensor([0.2, 0.8, 0.21, 0.79, 0.5]))
    assert_same(loss, SupervisedContrastiveLoss()(z, torch.tensor([0, 1, 0, 1, 2]).repeat(2)), z)


def test_gradcheck():
    loss = PositionContrastiveLoss(THRESHOLD, 0.2)
    assert torch.autograd.gradcheck(lambda z1, z2: loss(z1, z2, POSITION), (rows(5, 3), rows(5, 3, seed=1)))


def test_order_and_scale_of_rows_and_of_views_change_nothing():
    z1, z2, order = rows(5, 4), rows(5, 4, seed=1), torch.tensor([3, 0, 4, 1, 2])
    loss = PositionContrastiveLoss(THRESHOLD)
    expected = loss(z1, z2, POSITION)
    torch.testing.assert_close(loss(z2, z1, POSITION), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(loss(7 * z1[order], z2[order] / 9, POSITION[order]), expected, rtol=0, atol=1e-12)


def test_tile_size_changes_nothing(monkeypatch):
    z = rows(10, 4)
    loss = PositionContrastiveLoss(THRESHOLD)
    assert_tiles_change_nothing(monkeypatch, lambda: loss(z[:5], z[5:], POSITION), 10, z)


def test_a_slice_without_position_only_repels():
    z = rows(10, 4)
    position = torch.tensor([0.1, 0.5, float("nan"), 0.2, 0.9])
    expected = expected_loss(z, torch.tensor([0.1, 0.5, 50, 0.2, 0.9]), THRESHOLD)  # 50: near nobody but itself
    known = [0, 1, 3, 4, 5, 6, 8, 9]
    kept = joint_oracle(
        z,
        lambda a, k: a % 5 != 2 and k % 5 != 2 and abs(position[a % 5] - position[k % 5]) < 0.14,
        lambda a, k: True,
        0.1,
    )
    loss = PositionContrastiveLoss(THRESHOLD)(z[:5], z[5:], position)
    assert_same(loss, kept, z)
    assert abs(loss - expected) > 1e-2
    assert abs(loss - PositionContrastiveLoss(THRESHOLD)(*z[known].chunk(2), position[[0, 1, 3, 4]])) > 1e-2


@pytest.mark.parametrize("count", [0, 3])
def test_no_positive_anywhere_gives_zero_and_is_differentiable(count):
    z1, z2 = torch.randn(2, count, 4).requires_grad_().unbind()
    z1.retain_grad()
    loss = PositionContrastiveLoss(0.1)(z1, z2, torch.full((count,), float("nan")))
    loss.backward()
    assert loss.item() == 0
    assert not z1.grad.any()


def test_bfloat16_autocast_gives_float32():
    z1, z2 = rows(5, 4).detach().bfloat16(), rows(5, 4, seed=1).detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = PositionContrastiveLoss(THRESHOLD)(z1, z2, POSITION)
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    expected = PositionContrastiveLoss(THRESHOLD)(z1.float(), z2.float(), POSITION)
    torch.testing.assert_close(loss, expected, rtol=0, atol=0)


def test_never_waits_for_the_device():
    given = (rows(5, 4), rows(5, 4), POSITION)  # on the CPU, where nothing waits, positions are looked at
    assert_never_waits(
        PositionContrastiveLoss(THRESHOLD), *(each.detach().to("meta").requires_grad_() for each in given)
    )


def test_a_threshold_below_the_resolution_of_the_positions_is_refused():
    with pytest.raises(ValueError, match="threshold must be above 1e-06, .* found 1e-07"):
        PositionContrastiveLoss(1e-7)
    with pytest.raises(ValueError, match="threshold 0.005 is below the resolution of torch.bfloat16: give float32"):
        PositionContrastiveLoss(0.005)(torch.rand(2, 3), torch.rand(2, 3), torch.rand(2, dtype=torch.bfloat16))


def test_shapes_must_fit():
    with pytest.raises(ValueError, match=r"\(B, D\).*z1 \(3, 4\), z2 \(2, 4\)"):
        PositionContrastiveLoss(0.1)(torch.zeros(3, 4), torch.zeros(2, 4), torch.zeros(3))
    with pytest.raises(ValueError, match=r"position.*\(3, 3\), found \(3, 1\)"):
        PositionContrastiveLoss(0.1)(torch.zeros(3, 4), torch.zeros(3, 4), torch.zeros(3, 1))


@pytest.mark.parametrize("position", [[0.0, 3.0, 0.5], [0.1, -1.0, 0.5]])
def test_positions_and_thresholds_are_fractions(position):
    with pytest.raises(ValueError, match=r"position must be fractions .* found (3|-1): divide slice numbers"):
        PositionContrastiveLoss(0.1)(torch.zeros(3, 4), torch.zeros(3, 4), torch.tensor(position))
    with pytest.raises(TypeError, match="position must be a tensor, found list"):
        PositionContrastiveLoss(0.1)(torch.zeros(3, 4), torch.zeros(3, 4), position)
    with pytest.raises(ValueError, match="threshold must be a number from 0 to 1, found 10"):
        PositionContrastiveLoss(10)


@pytest.mark.parametrize("argument", ["threshold", "temperature", "base_temperature"])
@pytest.mark.parametrize("value", [0, -0.1, float("nan")])
def test_arguments_must_be_positive(argument, value):
    with pytest.raises(ValueError, match=f"^{argument} must"):
        PositionContrastiveLoss(**{"threshold": 0.1} | {argument: value})

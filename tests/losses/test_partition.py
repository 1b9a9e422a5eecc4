# SPDX-License-Identifier: Apache-2.0
"""GCL's global loss, its pairs enumerated from the paper by hand."""

from itertools import combinations, permutations

import pytest
import torch
from contrast_oracles import assert_same, directed_oracle, rows

from monai_cl_ext.losses import NTXentLoss, PartitionContrastiveLoss

# Ten slices: three volumes of three partitions in no order, one of them with two slices of partition 1.
PARTITION = torch.tensor([0, 1, 2, 1, 0, 2, 1, 2, 0, 1])
VOLUME = torch.tensor([5, 5, 5, 8, 8, 8, 3, 3, 3, 3])
ORIGINAL, VIEW_1, VIEW_2 = 0, 10, 20


def pairs_within():
    return [
        (first + i, second + i)
        for i in range(10)
        for first, second in ((ORIGINAL, VIEW_1), (ORIGINAL, VIEW_2), (VIEW_1, VIEW_2))
    ]


def pairs_across():
    def related(i, j):
        return PARTITION[i] == PARTITION[j] and VOLUME[i] != VOLUME[j]

    originals = [(ORIGINAL + i, ORIGINAL + j) for i, j in combinations(range(10), 2) if related(i, j)]
    return originals + [(VIEW_1 + i, VIEW_2 + j) for i, j in permutations(range(10), 2) if related(i, j)]


def oracle(z, pairs, partition=PARTITION, temperature=0.1):
    def negative(a, n):
        return bool(partition[a % 10] != partition[n % 10])

    total = 0
    for a, b in pairs:
        total += directed_oracle(z, a, b, negative, temperature) + directed_oracle(z, b, a, negative, temperature)
    return total / len(pairs)


def loss_of(z, strategy="gd", partition=PARTITION, volume=VOLUME, temperature=0.1):
    return PartitionContrastiveLoss(strategy, temperature)(list(z.chunk(3)), partition, volume)


def test_gd_minus_equals_the_oracle():
    z = rows(30, 4)
    assert_same(loss_of(z, "gd-"), oracle(z, pairs_within()), z)


def test_gd_equals_the_oracle():
    z = rows(30, 4)
    assert_same(loss_of(z, "gd"), oracle(z, pairs_within() + pairs_across()), z)


def test_the_oracle_counts_as_the_contract():
    # partitions 0 and 2: m = 3 volumes, 3m + m(m-1)/2 + m(m-1) = 18; partition 1: 4 slices, 5 of their 6 pairs cross
    assert len(pairs_within() + pairs_across()) == 2 * 18 + (3 * 4 + 5 + 10)


def test_gr_is_nt_xent_whatever_the_tags():
    z = rows(20, 4)
    loss = PartitionContrastiveLoss("gr", 0.2)(z.chunk(2), PARTITION, VOLUME)
    assert_same(loss, NTXentLoss(0.2)(*z.chunk(2)), z)


@pytest.mark.parametrize("strategy", ["gd-", "gd"])
def test_gradcheck(strategy):
    views = [rows(4, 2, seed=seed) for seed in range(3)]
    loss = PartitionContrastiveLoss(strategy, 0.3)
    assert torch.autograd.gradcheck(
        lambda *z: loss(z, torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])), tuple(views)
    )


@pytest.mark.parametrize("strategy", ["gd-", "gd"])
def test_order_and_scale_of_slices_change_nothing(strategy):
    z, order = rows(30, 4), torch.randperm(10, generator=torch.Generator().manual_seed(3))
    mixed = torch.cat([2 * view[order] for view in z.chunk(3)])
    assert_same(loss_of(mixed, strategy, PARTITION[order], VOLUME[order]), loss_of(z, strategy), z)


def test_versions_have_their_places():
    z = rows(30, 4)
    original, view_1, view_2 = z.chunk(3)
    loss = loss_of(z)
    torch.testing.assert_close(loss_of(torch.cat([original, view_2, view_1])), loss, rtol=0, atol=1e-12)
    assert (loss_of(torch.cat([view_1, original, view_2])) - loss).abs() > 1e-2


@pytest.mark.parametrize("strategy", ["gd-", "gd"])
def test_a_slice_without_partition_takes_no_part(strategy):
    z = rows(30, 4)
    known = torch.tensor([True] * 8 + [False] * 2)
    partition = PARTITION.where(known, -1)
    loss = loss_of(z, strategy, partition)
    expected = loss_of(z[known.repeat(3)], strategy, PARTITION[known], VOLUME[known])
    assert_same(loss, expected, z)


@pytest.mark.parametrize("strategy", ["gd-", "gd"])
@pytest.mark.parametrize("value", [2, -1], ids=["one-partition", "none-known"])
def test_a_batch_without_negatives_costs_nothing(strategy, value):
    z = rows(30, 4)
    loss = loss_of(z, strategy, torch.full((10,), value))
    loss.backward()
    assert loss.item() == 0
    assert not z.grad.any()


def test_bfloat16_autocast_gives_float32():
    z = rows(30, 4).detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(z)
    torch.testing.assert_close(loss, loss_of(z.float()), rtol=0, atol=0)


def test_finite_at_temperature_0005():
    z = rows(30, 4).detach().float().requires_grad_()
    loss = loss_of(z, temperature=0.005)
    loss.backward()
    assert loss.item() == pytest.approx(loss_of(z.double(), temperature=0.005).item(), rel=1e-5)
    assert z.grad.isfinite().all()


@pytest.mark.parametrize(("strategy", "found"), [("gr", 3), ("gd-", 2), ("gd", 2)])
def test_another_number_of_views_is_an_error(strategy, found):
    with pytest.raises(ValueError, match=f"'{strategy}' takes .* found {found}"):
        PartitionContrastiveLoss(strategy)([torch.zeros(10, 4)] * found, PARTITION, VOLUME)


def test_shapes_that_do_not_fit_are_named():
    loss = PartitionContrastiveLoss("gd")
    with pytest.raises(ValueError, match=r"views .*\(9, 4\), \(10, 4\)"):
        loss([torch.zeros(10, 4), torch.zeros(10, 4), torch.zeros(9, 4)], PARTITION, VOLUME)
    with pytest.raises(ValueError, match=r"partition .*\(10,\), found \(9,\)"):
        loss([torch.zeros(10, 4)] * 3, PARTITION[1:], VOLUME)
    with pytest.raises(ValueError, match=r"volume .*\(10,\), found \(10, 1\)"):
        loss([torch.zeros(10, 4)] * 3, PARTITION, VOLUME[:, None])


def test_unknown_strategy_lists_the_known_ones():
    with pytest.raises(ValueError, match="'gr', 'gd-', 'gd'"):
        PartitionContrastiveLoss("gl")


@pytest.mark.parametrize("name", ["partition", "volume"])
def test_fractions_as_tags_are_refused(name):
    tags, views = {"partition": torch.arange(4), "volume": torch.arange(4)}, [torch.rand(4, 3)] * 3
    expected = PartitionContrastiveLoss("gd")(views, **tags)
    assert torch.equal(PartitionContrastiveLoss("gd")(views, **{**tags, name: tags[name].float()}), expected)
    with pytest.raises(ValueError, match=f"{name} must be whole numbers, since .* equality, found 0.25: positions"):
        PartitionContrastiveLoss("gd")(views, **{**tags, name: tags[name] / 4})

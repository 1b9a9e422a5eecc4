# SPDX-License-Identifier: Apache-2.0
"""Losses of momentum contrast: their formulas by loops, their gradients, and candidates that are no anchors."""

import math

import pytest
import torch
from contrast_oracles import assert_same, cosine, rows

from monai_cl_ext.losses import MoCoLoss, MoCoV3Loss, contrast, different, pairwise, same


def info_nce(query, positive, negatives, temperature):
    """-log of the positive's share, of single vectors."""
    attracted = torch.exp(cosine(query, positive) / temperature)
    return -torch.log(attracted / (attracted + sum(torch.exp(cosine(query, n) / temperature) for n in negatives)))


def test_moco_is_info_nce_of_the_key_and_the_queue():
    query, key, queue = rows(4, 5), rows(4, 5, seed=1).detach(), rows(7, 5, seed=2).detach()
    expected = sum(info_nce(q, k, queue, 0.2) for q, k in zip(query, key, strict=True)) / 4
    assert_same(MoCoLoss(0.2)(query, key, queue), expected, query)


def one_way(query, key, temperature):
    return sum(info_nce(query[i], key[i], [key[j] for j in range(len(key)) if j != i], temperature)
               for i in range(len(query))) / len(query)  # fmt: skip


def test_moco_v3_sums_both_ways_over_the_keys_of_the_batch():
    q1, k2, q2, k1 = (rows(4, 5, seed=seed) for seed in range(4))
    for given in q1, q2:
        expected = 2 * 0.7 * (one_way(q1, k2.detach(), 0.7) + one_way(q2, k1.detach(), 0.7))
        assert_same(MoCoV3Loss(0.7)(q1, k2, q2, k1), expected, given)


def test_keys_and_queue_get_no_gradient():
    query, key, queue = rows(3, 4), rows(3, 4, seed=1), rows(5, 4, seed=2)
    MoCoLoss()(query, key, queue).backward()
    assert query.grad.any() and key.grad is None and queue.grad is None
    q1, k2, q2, k1 = (rows(3, 4, seed=seed) for seed in range(4))
    MoCoV3Loss()(q1, k2, q2, k1).backward()
    assert q1.grad.any() and q2.grad.any() and k1.grad is None and k2.grad is None


def test_gradcheck():
    key, queue = rows(3, 4, seed=1).detach(), rows(5, 4, seed=2).detach()
    assert torch.autograd.gradcheck(lambda query: MoCoLoss()(query, key, queue), rows(3, 4))
    assert torch.autograd.gradcheck(lambda q1, q2: MoCoV3Loss()(q1, key, q2, key), (rows(3, 4), rows(3, 4, seed=5)))


def test_an_untrained_query_has_the_logarithm_of_the_candidates():
    same_everywhere = torch.ones(4, 3)
    assert MoCoLoss()(same_everywhere, same_everywhere, torch.ones(9, 3)).item() == pytest.approx(math.log(10))
    assert MoCoV3Loss(1.0)(*[same_everywhere] * 4).item() == pytest.approx(4 * math.log(4), rel=1e-6)


def test_half_precision_is_computed_in_float32():
    query, key = (rows(4, 5, seed=seed).detach().bfloat16() for seed in range(2))
    queue = rows(7, 5, seed=2).detach().float()
    with torch.autocast("cpu", torch.bfloat16):
        found = MoCoLoss(0.07)(query, key, queue)
    assert found.dtype == torch.float32
    assert found == MoCoLoss(0.07)(query.float(), key.float(), queue)


def test_other_shapes_are_refused():
    query, queue = torch.rand(4, 5), torch.rand(7, 5)
    with pytest.raises(ValueError, match=r"must all be \(B, D\) of one shape, found"):
        MoCoLoss()(query, query[:3], queue)
    with pytest.raises(ValueError, match=r"queue must be \(K, 5\) as query and key, found \(7, 4\)"):
        MoCoLoss()(query, query, queue[:, :4])
    with pytest.raises(ValueError, match=r"must all be \(B, D\) of one shape, found"):
        MoCoV3Loss()(query, query, query, query[:, :3])


@pytest.mark.parametrize("tile", [1, 3, 5, None])
def test_candidates_take_the_place_of_the_other_rows(tile):
    """Against loops over anchors and candidates, with negatives that are chosen and several positives."""
    z, others = rows(5, 4), rows(6, 4, seed=1).detach()
    label, group = torch.tensor([0, 1, 0, 2, 9, 0, 0, 1, 2, 2, 3]), torch.arange(11) % 3
    terms = [
        info_nce(z[a], others[p], [others[n] for n in range(6) if group[a] != group[5 + n]], 0.1)
        for a in range(5)
        for p in range(6)
        if label[a] == label[5 + p]
    ]
    found = contrast(z, same(label), different(group), temperature=0.1, candidates=others, form=pairwise, tile=tile)
    assert_same(found, sum(terms) / len(terms), z)

# SPDX-License-Identifier: Apache-2.0
"""Sinkhorn-Knopp and SwAV's loss: their formulas by loops, what gets a gradient, and what they take."""

from math import exp, log

import pytest
import torch
from contrast_oracles import rows

from monai_cl_ext.losses import SwAVLoss, sinkhorn

ROWS, PROTOTYPES = 6, 4


def assigned(scores, epsilon=0.05, iterations=3):
    """The paper's steps, entry by entry, on a matrix of prototypes and rows."""
    largest = max(max(row) for row in scores)
    q = [[exp((row[k] - largest) / epsilon) for row in scores] for k in range(len(scores[0]))]
    total = sum(map(sum, q))
    q = [[value / total for value in line] for line in q]
    for _ in range(iterations):
        q = [[value / sum(line) / len(q) for value in line] for line in q]
        sums = [sum(line[b] for line in q) for b in range(len(scores))]
        q = [[value / sums[b] / len(scores) for b, value in enumerate(line)] for line in q]
    return [[line[b] * len(scores) for line in q] for b in range(len(scores))]


def cross_entropy(target, scores, temperature):
    """Of a row."""
    normalizer = log(sum(exp(score / temperature) for score in scores))
    return -sum(q * (score / temperature - normalizer) for q, score in zip(target, scores, strict=True))


def oracle(crops, queued=((), ()), temperature=0.1, epsilon=0.05, iterations=3):
    """For each crop that is assigned the mean over the other crops of the mean over rows; then their mean."""
    crops = [crop.tolist() for crop in crops]
    total = 0.0
    for i in range(2):
        target = assigned([*torch.as_tensor(queued[i]).tolist(), *crops[i]], epsilon, iterations)[-len(crops[i]) :]
        others = [crop for v, crop in enumerate(crops) if v != i]
        for crop in others:
            terms = [cross_entropy(q, row, temperature) for q, row in zip(target, crop, strict=True)]
            total += sum(terms) / len(terms) / len(others)
    return total / 2


def cosines(crops, count=ROWS):
    return rows(crops, count, PROTOTYPES).detach().tanh()


@pytest.mark.parametrize("epsilon, iterations", [(0.05, 3), (0.5, 1), (0.1, 7)])
def test_sinkhorn_is_the_papers_steps(epsilon, iterations):
    scores = cosines(1)[0]
    found = sinkhorn(scores, epsilon, iterations)
    expected = torch.tensor(assigned(scores.tolist(), epsilon, iterations), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_rows_sum_to_one_and_prototypes_are_used_alike():
    found = sinkhorn(cosines(1, 12)[0], 0.3, 200)
    torch.testing.assert_close(found.sum(1), torch.ones(12).double())
    torch.testing.assert_close(found.sum(0), torch.full((PROTOTYPES,), 12 / PROTOTYPES).double())


def test_scores_of_any_size_stay_finite_and_a_shift_changes_nothing():
    far = 1000 * cosines(1)[0].float()
    found = sinkhorn(far)
    assert found.isfinite().all() and found.dtype == torch.float32
    torch.testing.assert_close(found.sum(1), torch.ones(ROWS))
    near = cosines(1)[0]
    torch.testing.assert_close(sinkhorn(near + 50), sinkhorn(near), rtol=0, atol=1e-9)


@pytest.mark.parametrize("crops", [2, 3, 6])
@pytest.mark.parametrize("queue", [0, 5])
def test_the_loss_is_the_oracles(crops, queue):
    scores, queued = cosines(crops), cosines(8, queue)[6:]
    loss = SwAVLoss(0.2, 0.1, 4)
    found = loss(list(scores), queued=list(queued)) if queue else loss(list(scores))
    assert found.item() == pytest.approx(oracle(scores, queued, 0.2, 0.1, 4), abs=1e-12)
    if queue:
        assert abs(found - loss(list(scores))) > 1e-3


def test_assignments_and_queued_rows_get_no_gradient():
    scores = [crop.requires_grad_() for crop in cosines(3)]
    queued = [rows.requires_grad_() for rows in cosines(2, 5)]
    loss = SwAVLoss()
    loss(scores, queued=queued).backward()
    assert all(each.grad is None for each in queued)
    both = [assigned([*rows.tolist(), *crop.tolist()])[5:] for rows, crop in zip(queued, scores, strict=False)]
    targets = torch.tensor(both, dtype=torch.float64)
    for v, crop in enumerate(scores):
        expected = torch.zeros_like(crop)
        for i, target in enumerate(targets):
            if i != v:
                expected += (torch.softmax(crop.detach() / 0.1, 1) - target) / 0.1 / ROWS / 2 / 2
        torch.testing.assert_close(crop.grad, expected, rtol=0, atol=1e-12)
    first, second, third = (crop.detach() for crop in scores)
    assert torch.autograd.gradcheck(lambda crop: loss([first, second, crop]), third.requires_grad_())


def test_bfloat16_autocast_gives_float32():
    scores, queued = cosines(3).bfloat16(), cosines(2, 5).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = SwAVLoss()(list(scores), queued=list(queued))
    assert found.dtype == torch.float32
    expected = SwAVLoss()(list(scores.float()), queued=list(queued.float()))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert sinkhorn(scores[0]).dtype == torch.float32


def test_no_row_is_a_differentiable_zero():
    scores = [torch.zeros(0, PROTOTYPES, requires_grad=True) for _ in range(3)]
    value = SwAVLoss()(scores)
    value.backward()
    assert value.item() == 0 and sinkhorn(scores[0]).shape == (0, PROTOTYPES)


def test_mistakes_are_named():
    loss, scores = SwAVLoss(), list(cosines(3))
    with pytest.raises(ValueError, match=r"two crops or more.*found \[\(6, 4\)\]"):
        loss(scores[:1])
    with pytest.raises(ValueError, match=r"same B and K, found \[\(6, 4\), \(5, 4\)\]"):
        loss([scores[0], scores[1][:5]])
    with pytest.raises(ValueError, match=r"queued must be scores \(Q, 4\).*found \[\(6, 4\)\]"):
        loss(scores, queued=scores[:1])
    with pytest.raises(ValueError, match=r"queued must be scores \(Q, 4\).*found \[\(6, 3\), \(6, 4\)\]"):
        loss(scores, queued=[scores[0][:, :3], scores[1]])
    with pytest.raises(ValueError, match=r"must be \(B, K\).*found \(3, 6, 4\)"):
        sinkhorn(torch.stack(scores))
    for arguments in ({"temperature": 0.0}, {"epsilon": -1.0}, {"iterations": 0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            SwAVLoss(**arguments)

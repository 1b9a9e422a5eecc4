# SPDX-License-Identifier: Apache-2.0
"""The losses that lightly has too: the same value and gradient for the same rows."""

import pytest
import torch
from contrast_oracles import rows
from torch.nn.functional import normalize

from monai_cl_ext.losses import (
    BYOLLoss,
    DINOLoss,
    MoCoLoss,
    NTXentLoss,
    SimSiamLoss,
    SimTripletLoss,
    SwAVLoss,
    sinkhorn,
)

lightly = pytest.importorskip("lightly.loss", exc_type=ImportError)


def assert_equal(own, other, *given):
    """Of two losses of the same tensors, by value and by the gradient of each."""
    wanted = torch.autograd.grad(other.squeeze(), given)
    found = torch.autograd.grad(own, given)
    torch.testing.assert_close(own, other.squeeze(), rtol=0, atol=1e-6)
    assert all(gradient.any() for gradient in wanted)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_ntxent():
    z1, z2 = rows(6, 5), rows(6, 5, seed=1)
    assert_equal(NTXentLoss(0.2)(z1, z2), lightly.NTXentLoss(0.2)(z1, z2), z1, z2)


def test_moco():
    theirs = lightly.NTXentLoss(0.2, memory_bank_size=(9, 5)).double()
    query, key, queue = rows(4, 5), rows(4, 5, seed=1).detach(), theirs.memory_bank.bank.clone()
    assert_equal(MoCoLoss(0.2)(query, key, queue), theirs(query, key), query)


def cosines(*pairs):
    theirs = lightly.NegativeCosineSimilarity()
    return [theirs(prediction, target.detach()) for prediction, target in pairs]


def test_byol():
    p1, z2, p2, z1 = (rows(6, 5, seed=seed) for seed in range(4))
    assert_equal(BYOLLoss()(p1, z2, p2, z1), 4 + 2 * sum(cosines((p1, z2), (p2, z1))), p1, p2)


def test_simsiam():
    p1, z2, p2, z1 = (rows(6, 5, seed=seed) for seed in range(4))
    assert_equal(SimSiamLoss()(p1, z2, p2, z1), sum(cosines((p1, z2), (p2, z1))) / 2, p1, p2)


def test_simtriplet():
    p1, z1, p2, z2, p3, z3 = (rows(6, 5, seed=seed) for seed in range(6))
    expected = sum(cosines((p1, z2), (p2, z1), (p1, z3), (p3, z1))) / 2
    assert_equal(SimTripletLoss()(p1, z1, p2, z2, p3, z3), expected, p1, p2, p3)


def scores(count, seed):
    """Cosines, as prototypes give them."""
    return normalize(rows(count, 7, seed=seed).detach(), dim=1).requires_grad_()


def test_sinkhorn():
    given = scores(6, 0).detach()
    torch.testing.assert_close(sinkhorn(given), lightly.swav_loss.sinkhorn(given))


@pytest.mark.parametrize("queued", [False, True])
def test_swav(queued):
    crops = [scores(6, seed) for seed in range(4)]
    queue = [scores(11, seed).detach() for seed in (4, 5)] if queued else None
    theirs = lightly.SwaVLoss()(crops[:2], crops[2:], queue)
    assert_equal(SwAVLoss()(crops, queued=queue), theirs, *crops)


def test_dino():
    own, theirs = DINOLoss(5), lightly.DINOLoss(5, teacher_temp=0.04, warmup_teacher_temp_epochs=0)
    for _ in range(2):  # the second time with a center
        student = [rows(6, 5, seed=seed) for seed in range(4)]
        teacher = [rows(6, 5, seed=seed).detach() for seed in (4, 5)]
        assert_equal(own(student, teacher, 0.04), theirs(teacher, student, teacher_temp=0.04), *student)
    torch.testing.assert_close(own.center, theirs.center[0], check_dtype=False)
    assert own.center.any()

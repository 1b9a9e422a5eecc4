# SPDX-License-Identifier: Apache-2.0
"""NT-Xent."""

from math import exp, log

import pytest
import torch
from contrast_oracles import assert_same, cosine, joint_oracle, rows

from monai_cl_ext.losses import NTXentLoss


def test_equals_the_formula_written_out():
    z = rows(6, 4).detach()  # two views of three samples
    expected = 0.0
    for a in range(6):
        similar = [exp(cosine(z[a], z[k]) / 0.1) for k in range(6) if k != a]
        expected -= log(exp(cosine(z[a], z[(a + 3) % 6]) / 0.1) / sum(similar)) / 6
    assert NTXentLoss(0.1)(z[:3], z[3:]).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 0.1, 0.02])
def test_equals_the_oracle_with_gradient(temperature):
    z = rows(10, 4)
    expected = joint_oracle(z, lambda a, k: a % 5 == k % 5, lambda a, k: True, temperature)
    assert_same(NTXentLoss(temperature)(z[:5], z[5:]), expected, z)


@pytest.mark.parametrize("samples", [2, 3, 9])
def test_equals_monai_contrastive_loss(samples):
    from monai.losses import ContrastiveLoss

    z = rows(2 * samples, 8)
    temperature = 0.25  # exact in the float32 that MONAI keeps it in
    assert_same(NTXentLoss(temperature)(*z.chunk(2)), ContrastiveLoss(temperature=temperature)(*z.chunk(2)), z)


def test_base_temperature_multiplies():
    z1, z2 = rows(5, 4), rows(5, 4, seed=1)
    assert_same(NTXentLoss(0.1, base_temperature=0.07)(z1, z2), NTXentLoss(0.1)(z1, z2) * 0.1 / 0.07, z1)


def test_gradcheck():
    assert torch.autograd.gradcheck(NTXentLoss(0.2), (rows(4, 3), rows(4, 3, seed=1)))


def test_views_are_equal_in_rank_and_samples_in_order():
    z1, z2 = rows(7, 4), rows(7, 4, seed=1)
    order = torch.tensor([3, 0, 6, 5, 1, 2, 4])
    loss = NTXentLoss(0.1)(z1, z2)
    torch.testing.assert_close(NTXentLoss(0.1)(z2, z1), loss, rtol=0, atol=1e-12)
    torch.testing.assert_close(NTXentLoss(0.1)(9 * z1[order], z2[order] / 7), loss, rtol=0, atol=1e-12)


def test_bfloat16_autocast_gives_float32():
    z1, z2 = rows(7, 4).detach().bfloat16(), rows(7, 4, seed=1).detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = NTXentLoss(0.1)(z1, z2)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, NTXentLoss(0.1)(z1.float(), z2.float()), rtol=0, atol=0)


def test_finite_at_temperature_0005_where_monai_is_not():
    z1 = rows(64, 16).detach().float().requires_grad_()
    loss = NTXentLoss(0.005)(z1, -z1.detach())
    loss.backward()
    assert loss.item() > 200  # the partner is the farthest row of all
    assert z1.grad.isfinite().all()


@pytest.mark.parametrize(
    ("first", "second", "found"), [((3, 4), (2, 4), "2, 4"), ((3,), (3,), "3,"), ((2, 3, 4), (2, 3, 4), "2, 3, 4")]
)
def test_shapes_that_do_not_fit_are_named(first, second, found):
    with pytest.raises(ValueError, match=rf"\(B, D\).*\({found}\)"):
        NTXentLoss()(torch.zeros(first), torch.zeros(second))


@pytest.mark.parametrize("samples", [0, 1])
def test_one_sample_has_nothing_to_repel_and_costs_nothing(samples):
    z = rows(2 * samples, 4).detach().requires_grad_() if samples else torch.zeros(0, 4, requires_grad=True)
    loss = NTXentLoss()(*z.tensor_split(2))
    loss.backward()
    assert loss.item() == 0
    assert not z.grad.any()


def test_one_sample_is_as_in_monai():
    from monai.losses import ContrastiveLoss

    z = rows(2, 4)
    assert NTXentLoss(0.25)(*z.chunk(2)).item() == ContrastiveLoss(temperature=0.25)(*z.chunk(2)).item() == 0


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(ValueError, match="temperature"):
        NTXentLoss(temperature)

# SPDX-License-Identifier: Apache-2.0
"""Supervised contrast."""

import numpy as np
import pytest
import torch
from contrast_oracles import assert_same, joint_oracle, rows

from monai_cl_ext.losses import NTXentLoss, SupervisedContrastiveLoss

LABELS = torch.tensor([4, 1, 4, 4, 7, 1, 9])  # 7 and 9 are alone


def expected_loss(z):
    labels = LABELS.tolist()
    return joint_oracle(z, lambda a, k: labels[a] == labels[k], lambda a, k: True, 0.1)


def test_equals_the_oracle_with_gradient():
    z = rows(7, 4)
    assert_same(SupervisedContrastiveLoss(0.1)(z, LABELS), expected_loss(z), z)


def test_base_temperature_multiplies():
    z = rows(7, 4)
    assert_same(SupervisedContrastiveLoss(0.1, base_temperature=0.07)(z, LABELS), expected_loss(z) * 0.1 / 0.07, z)


def test_gradcheck():
    assert torch.autograd.gradcheck(lambda z: SupervisedContrastiveLoss(0.2)(z, LABELS), rows(7, 3))


def test_order_of_rows_and_names_of_labels_do_not_matter():
    z, order = rows(7, 4), torch.tensor([5, 0, 3, 6, 2, 4, 1])
    loss = SupervisedContrastiveLoss()(z, LABELS)
    torch.testing.assert_close(SupervisedContrastiveLoss()(5 * z[order], 100 - LABELS[order]), loss)


def test_two_views_under_their_sample_are_nt_xent():
    z = rows(8, 4)
    assert_same(SupervisedContrastiveLoss(0.1)(z, torch.arange(4).repeat(2)), NTXentLoss(0.1)(z[:4], z[4:]), z)


def test_labels_all_different_give_zero():
    z = rows(5, 4)
    loss = SupervisedContrastiveLoss()(z, torch.arange(5))
    loss.backward()
    assert loss.item() == 0
    assert not z.grad.any()


def test_bfloat16_autocast_gives_float32():
    z = rows(7, 4).detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = SupervisedContrastiveLoss()(z, LABELS)
    torch.testing.assert_close(loss, SupervisedContrastiveLoss()(z.float(), LABELS), rtol=0, atol=0)


def test_labels_must_fit_rows():
    with pytest.raises(ValueError, match=r"\(7, 4\) and \(6,\)"):
        SupervisedContrastiveLoss()(torch.zeros(7, 4), torch.zeros(6))


@pytest.mark.parametrize("base", [0, -0.07])
def test_base_temperature_must_be_positive(base):
    with pytest.raises(ValueError, match="base_temperature"):
        SupervisedContrastiveLoss(base_temperature=base)


def test_labels_must_be_a_tensor():
    with pytest.raises(TypeError, match=r"labels must be a tensor \(N,\), found ndarray: give torch.as_tensor"):
        SupervisedContrastiveLoss()(torch.zeros(6, 4), np.zeros(6))


def test_labels_must_be_whole_numbers():
    with pytest.raises(ValueError, match=r"labels must be whole numbers, since .* equality, found 0.5"):
        SupervisedContrastiveLoss()(torch.rand(6, 4), torch.full((6,), 0.5))
    with pytest.raises(ValueError, match=r"found nan: .*a row without a partner takes a number of its own"):
        SupervisedContrastiveLoss()(torch.rand(2, 4), torch.tensor([1.0, torch.nan]))

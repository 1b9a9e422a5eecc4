# SPDX-License-Identifier: Apache-2.0
"""Prototypes give cosines, whatever the lengths, and an optimizer turns them alone."""

import pytest
import torch

from monai_cl_ext.networks import Prototypes


def layer():
    torch.manual_seed(0)
    return Prototypes(5, 7).double()


def test_scores_are_cosines():
    prototypes, z = layer(), torch.randn(4, 5, dtype=torch.float64)
    found = prototypes(z)
    for row in range(4):
        for column in range(7):
            a, b = z[row], prototypes.weight[column]
            assert found[row, column].item() == pytest.approx((a @ b / a.norm() / b.norm()).item(), abs=1e-12)
    torch.testing.assert_close(prototypes(9 * z), found)
    assert prototypes.bias is None and prototypes.weight.shape == (7, 5)


def test_the_length_of_a_row_changes_no_score_and_gets_no_gradient():
    prototypes, z = layer(), torch.randn(4, 5, dtype=torch.float64)
    before = prototypes(z)
    before.square().sum().backward()
    along = (prototypes.weight.grad * prototypes.weight).sum(1)
    assert prototypes.weight.grad.any()
    torch.testing.assert_close(along, torch.zeros_like(along), rtol=0, atol=1e-12)
    prototypes.weight.data *= torch.rand(7, 1, dtype=torch.float64) + 0.5
    torch.testing.assert_close(prototypes(z), before)


def test_bfloat16_autocast_gives_float32():
    prototypes, z = layer().float(), torch.randn(4, 5).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = prototypes(z)
    assert found.dtype == torch.float32 and torch.equal(found, prototypes(z.float()))


def test_mistakes_are_named():
    for arguments in ({"features": 0}, {"prototypes": 0.5}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            Prototypes(**{"features": 3, **arguments})

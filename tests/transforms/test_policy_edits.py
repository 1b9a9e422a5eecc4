# SPDX-License-Identifier: Apache-2.0
"""Policies made from policies: other operations, or another magnitude of one."""

import pytest
import torch
from operation_cases import generator, noise

from monai_cl_ext.transforms import (
    AreaCropResize,
    Contrast,
    ElasticDeformation,
    GaussianBlur,
    OperationGroup,
    Rotation,
    ViewPolicy,
    pcl_policy,
    strong_policy,
    weak_med_policy,
)


def test_with_operations_keeps_size_dimensions_and_padding():
    policy = ViewPolicy([Rotation(10, 3)], size=(4, 5, 6), spatial_dims=3, padding_mode="zeros")
    other = policy.with_operations([Rotation(90, 3)])
    assert (other.size, other.spatial_dims, other.padding_mode) == ((4, 5, 6), 3, "zeros")
    assert policy.operations[0].degrees.max() == 10 and other.operations[0].degrees.max() == 90
    assert not torch.equal(*(each({"image": noise(2, 1, 8, 8, 8)}, generator())["image"] for each in (policy, other)))


def test_replace_reaches_into_groups_and_leaves_the_rest():
    crop, contrast = AreaCropResize((0.9, 1.0)), Contrast(0.9, 1.1, mean="gray")
    before = strong_policy(size=16)
    policy = before.replace(crop, contrast)
    assert policy.operations[0] is crop and before.operations[0] is not crop
    old, new = before.operations[2], policy.operations[2]
    assert isinstance(new, OperationGroup) and new.probability == old.probability and new.operations[1] is contrast
    assert [new.operations[place] is old.operations[place] for place in (0, 2, 3)] == [True] * 3
    assert policy.operations[3:] == before.operations[3:] and policy.size == (16, 16)
    nested = ViewPolicy([OperationGroup([OperationGroup([Rotation(10)], 0.3)], 0.4)]).replace(Rotation(20))
    inner = nested.operations[0].operations[0]
    assert (inner.probability, inner.operations[0].degrees.item()) == pytest.approx((0.3, 20))


def test_replace_needs_one_operation_of_the_class():
    with pytest.raises(ValueError, match="needs one ElasticDeformation in the policy, found 0; use with_operations"):
        strong_policy().replace(ElasticDeformation(0.1))
    with pytest.raises(ValueError, match="needs one GaussianBlur in the policy, found 2"):
        weak_med_policy().replace(GaussianBlur(0.1, 1.0))


def test_the_operations_of_a_policy_cannot_be_changed_in_place():
    """Its steps are composed once: a change of the list would change nothing."""
    with pytest.raises(TypeError):
        strong_policy().operations[0] = Rotation(10)
    with pytest.raises(TypeError):
        pcl_policy().operations[1].operations[0] = Rotation(10)

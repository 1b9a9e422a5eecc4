# SPDX-License-Identifier: Apache-2.0
"""Policies of global and local crops, made of one view policy."""

import pytest

from monai_cl_ext.fingerprint import fingerprint
from monai_cl_ext.transforms import (
    AreaCropResize,
    CropResize,
    GaussianBlur,
    Rotation,
    Solarization,
    ViewPolicy,
    crop_policy,
    strong_policy,
    weak_med_policy,
    weak_policy,
)


@pytest.mark.parametrize("policy", [strong_policy, weak_policy, weak_med_policy])
@pytest.mark.parametrize(
    "area, blur, solarize", [((0.05, 0.4), 0.5, 0.0), ((0.4, 1.0), 1.0, 0.0), ((0.4, 1), 0.1, 0.2)]
)
def test_crops_are_those_that_the_policys_own_arguments_make(policy, area, blur, solarize):
    settings = {"color": False, "limits": None, "mirror_axis": 0}
    expected = policy(24, crop=area, blur_probability=blur, solarize_probability=solarize, **settings)
    assert fingerprint(crop_policy(policy(**settings), 24, area, blur, solarize)) == fingerprint(expected)


def test_what_is_not_given_stays():
    for policy in (strong_policy(), weak_med_policy(crop=(0.1, 0.3), blur_probability=0.9)):
        made = crop_policy(policy, (16, 8))
        assert made.size == (16, 8) and fingerprint(made.operations) == fingerprint(policy.operations)


def test_blur_and_solarization_are_of_policies_with_dinos_blur():
    other = ViewPolicy([AreaCropResize(), GaussianBlur(0.0, 0.1, probability=0.5)], padding_mode="zeros")
    made = crop_policy(other, 8, blur_probability=1.0, solarize_probability=0.2)
    assert fingerprint(made.operations) == fingerprint(other.operations) and made.padding_mode == "zeros"
    kinds = [type(each) for each in crop_policy(strong_policy(), 8, None, 0.0, 0.2).operations]
    assert GaussianBlur not in kinds and kinds[-1] is Solarization


@pytest.mark.parametrize("policy, found", [
    (ViewPolicy([]), "no operation"), (ViewPolicy([CropResize(0.5), Rotation(9)]), "CropResize, Rotation"),
])  # fmt: skip
def test_an_area_needs_a_random_resized_crop(policy, found):
    with pytest.raises(ValueError, match=f"whose area they change, found {found}; add one, or set local_crops to 0"):
        crop_policy(policy, 8, (0.1, 0.2))
    assert crop_policy(policy, 8).size == (8, 8)

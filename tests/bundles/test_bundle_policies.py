# SPDX-License-Identifier: Apache-2.0
"""How a bundle makes its views is one setting, and how strongly another: they mean the same in every bundle."""

import pytest
from workflows import parsed, read

from monai_cl_ext.bundles import bundle_names
from monai_cl_ext.fingerprint import fingerprint
from monai_cl_ext.transforms import (
    Contrast,
    ElasticDeformation,
    IntensityShift,
    OperationGroup,
    Rotation,
    ViewPolicy,
    distorted_policy,
    identity_policy,
    intensity_part,
    scale_policy,
    spatial_part,
    strong_policy,
    weak_med_policy,
    weak_policy,
)

SLICES = {"color": False, "limits": None, "mirror_axis": 0}
POLICIES = {"policy_strong": strong_policy, "policy_weak": weak_policy, "policy_weak_med": weak_med_policy}
STAGES = [(name, [stage]) for name in bundle_names() for stage in read(name, "metadata")["pretrain_stages"]]
VARIANTS = [
    ("gcl_segmentation", ["pretrain_global", "strategy_gd_minus"]),
    ("gcl_segmentation", ["pretrain_global", "strategy_gr"]),
    ("gcl_segmentation", ["pretrain_local", "strategy_gr"]),
    ("pretext_segmentation", ["pretrain", "pretext_inpainting"]),
    ("dino_segmentation", ["pretrain", "policy_simclr"]),
    ("supercl_segmentation", ["pretrain", "instance_wcl"]),
]
CROPS = (
    "byol_segmentation", "moco_v3_segmentation", "dino_segmentation", "dino_classification", "desd_segmentation",
    "swav_segmentation",
)  # tested with their bundles  # fmt: skip


def policies(bundle: str, *configs: str, **values) -> list[ViewPolicy]:
    """The policies of the views that a bundle makes, in the order of the views."""
    return parsed(bundle, *configs, **values).get_parsed_content("train#views").policies


def made_of(policy: ViewPolicy, bundle: str, stage: str) -> list[ViewPolicy]:
    """The policies of its views that a bundle should make of a ``view_policy``, the last ones."""
    if bundle == "supercl_segmentation":
        return [intensity_part(policy)] * 2 + [spatial_part(policy)] * 2
    if stage == "pretrain_local":
        return [intensity_part(policy)] * 2
    if bundle == "dira_segmentation":
        distorted = distorted_policy(intensity_part(policy)), distorted_policy(policy)
        return [spatial_part(policy), *distorted]
    return [policy] if bundle == "pretext_segmentation" else [policy] * 2


@pytest.mark.parametrize("bundle, configs", [stage for stage in STAGES + VARIANTS[:3] if stage[0] not in CROPS])
@pytest.mark.parametrize("overlay", POLICIES)
def test_an_overlay_sets_the_policy_of_every_bundle(bundle, configs, overlay):
    for strength in (1.0, 0.5):
        expected = made_of(scale_policy(POLICIES[overlay](**SLICES), strength), bundle, configs[0])
        found = policies(bundle, *configs, overlay, strength=strength)
        assert fingerprint(found[-len(expected) :]) == fingerprint(expected)


@pytest.mark.parametrize("bundle, configs", STAGES + VARIANTS)
def test_the_strength_weakens_a_bundles_own_policies_down_to_nothing(bundle, configs):
    still = policies(bundle, *configs, strength=0.0)
    full = policies(bundle, *configs)
    assert len(still) == len(full)
    kept = 1 if bundle == "dino_classification" else 0  # photographs are standardized after all
    changing = [policy for policy in full if policy.operations]
    if bundle == "dira_segmentation":
        assert [len(policy.operations) for policy in still] == [0, 1, 1]  # the distortion is the task
    elif bundle == "pretext_segmentation":
        assert fingerprint(still) == fingerprint(full)  # nothing by default but the corruption, which is the task
    else:
        assert len(changing) >= 2 and all(len(policy.operations) == kept for policy in still)


@pytest.mark.parametrize("pretext", ["rotation", "inpainting", "context_restoration"])
def test_pretext_tasks_are_set_on_views_of_any_policy(pretext):
    settings = {"pretext": pretext, "view_policy": {"_target_": "monai_cl_ext.transforms.strong_policy", **SLICES}}
    policy, *corruption = policies("pretext_segmentation", "pretrain", **settings, strength=0.5)
    assert fingerprint(policy) == fingerprint(scale_policy(strong_policy(**SLICES), 0.5))
    assert len(corruption) == (pretext != "rotation")


def test_supercl_moves_its_spatial_views_even_where_the_policy_does_not():
    views = policies("supercl_segmentation", "pretrain", strength=0.5,
                     view_policy={"_target_": "monai_cl_ext.transforms.gcl_intensity_policy"})  # fmt: skip
    assert not any(view.moves for view in views[:2]) and all(view.moves for view in views[2:])


def test_the_parts_of_a_policy():
    group = OperationGroup([Rotation(10.0), ElasticDeformation(0.1)])
    policy = ViewPolicy([group, IntensityShift(0, 0.1), Contrast(1, 2)], 32, padding_mode="zeros")
    still, moving = intensity_part(policy), spatial_part(policy)
    assert still.operations == policy.operations[1:] and moving.operations == (group,)
    assert {(part.size, part.padding_mode) for part in (still, moving)} == {((32, 32), "zeros")}
    assert intensity_part(identity_policy()).operations == ()
    with pytest.raises(ValueError, match="put them into two groups"):
        intensity_part(ViewPolicy([OperationGroup([Rotation(10.0), Contrast(1, 2)])]))

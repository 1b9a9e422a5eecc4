# SPDX-License-Identifier: Apache-2.0
"""How strongly a bundle augments is one overlay, or one key."""

import pytest
import torch
from monai.bundle import ConfigParser
from workflows import BUNDLES

from monai_cl_ext.transforms import scale_policy, strong_policy, weak_med_policy, weak_policy

STAGES = [
    ("gcl_segmentation", ["pretrain_global"]), ("gcl_segmentation", ["pretrain_global", "strategy_gd_minus"]),
    ("gcl_segmentation", ["pretrain_global", "strategy_gr"]), ("pcl_segmentation", ["pretrain"]),
    ("wcl_segmentation", ["pretrain"]),
]  # fmt: skip
POLICIES = {"policy_strong": strong_policy, "policy_weak": weak_policy, "policy_weak_med": weak_med_policy}
SLICES = {"color": False, "limits": None, "mirror_axis": 0}


def policies(bundle: str, *configs: str, **values: float) -> list:
    """The policies of the views that a bundle contrasts."""
    parser = ConfigParser()
    parser.read_config([BUNDLES / bundle / "configs" / f"{name}.json" for name in configs])
    parser.update(values)
    return [parser.get_parsed_content(text[1:]) for text in parser.get("train#views#policies")]


def image_of(policy) -> torch.Tensor:
    image = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2
    return policy({"image": image}, torch.Generator().manual_seed(0))["image"]


@pytest.mark.parametrize("bundle, configs", STAGES)
@pytest.mark.parametrize("overlay", POLICIES)
def test_an_overlay_sets_the_policy_and_a_key_its_strength(bundle, configs, overlay):
    expected = POLICIES[overlay](**SLICES)
    *_, full = policies(bundle, *configs, overlay)
    *_, half = policies(bundle, *configs, overlay, strength=0.5)
    assert torch.equal(image_of(full), image_of(expected))
    assert torch.equal(image_of(half), image_of(scale_policy(expected, 0.5)))
    assert not torch.equal(image_of(half), image_of(expected))


@pytest.mark.parametrize("pretext", ["rotation", "inpainting", "context_restoration"])
def test_the_strength_reaches_the_views_of_pretext_tasks(pretext):
    parser = ConfigParser()
    parser.read_config(BUNDLES / "pretext_segmentation" / "configs" / "pretrain.json")
    strong = {"_target_": "monai_cl_ext.transforms.strong_policy", **SLICES}
    parser.update({"pretext": pretext, "view_policy": strong, "strength": 0.5})
    policy = parser.get_parsed_content("policies")[0]
    assert torch.equal(image_of(policy), image_of(scale_policy(strong_policy(**SLICES), 0.5)))


@pytest.mark.parametrize("bundle, configs", [*STAGES, ("gcl_segmentation", ["pretrain_local"]),
                                             ("supercl_segmentation", ["pretrain"])])  # fmt: skip
def test_the_strength_weakens_a_bundles_own_policies_down_to_nothing(bundle, configs):
    still = policies(bundle, *configs, strength=0.0)
    full = policies(bundle, *configs)
    assert len(still) == len(full) >= 2
    assert all(policy.operations == () for policy in still)
    assert sum(bool(policy.operations) for policy in full) >= 2

# SPDX-License-Identifier: Apache-2.0
"""Policies by name and by file, their overlays, the ladder, and operations alone."""

import json
from pathlib import Path

import advice_samples
import pytest
import torch
from monai.bundle import ConfigParser

from monai_cl_ext.advise.policies import JITTERED, MIRRORED, NAMES, choose_policy
from monai_cl_ext.advise.settings import each_alone, ladder
from monai_cl_ext.transforms import Mirror, ViewPolicy, gcl_policy, scale_policy, strong_policy

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
CONFIGS = BUNDLES / "gcl_segmentation" / "configs"


def views(policy: ViewPolicy, channels: int = 3) -> torch.Tensor:
    return policy({"image": advice_samples.smooth(4, channels)}, torch.Generator().manual_seed(0))["image"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_overlay_of_a_name_builds_that_policy_at_its_strength(name, channels, recwarn):
    chosen = choose_policy(name, channels)
    overlay = json.loads(json.dumps(chosen.overlay(0.5)))
    full = ConfigParser(overlay).get_parsed_content("view_policy")
    built = scale_policy(full, overlay["strength"])
    (rung,) = (rung for rung in ladder(chosen, [0.5, 1.0]) if rung.strength == 0.5)
    assert torch.equal(views(built, channels), views(rung.policy, channels))
    assert not torch.equal(views(built, channels), views(chosen.policy, channels))
    assert not [warning for warning in recwarn if "Saturation and Hue" in str(warning.message)]


@pytest.mark.parametrize("name", MIRRORED)
def test_a_policy_of_slices_clips_nothing_and_mirrors_the_first_axis_as_its_overlay_does(name):
    chosen = choose_policy(name, 1, volumetric=True)
    built = ConfigParser(json.loads(json.dumps(chosen.overlay(1.0)))).get_parsed_content("view_policy")
    (mirror,) = (operation for operation in built.operations if isinstance(operation, Mirror))
    assert mirror.axes == (0,)
    slices = 3 * advice_samples.smooth(16)
    generator = torch.Generator().manual_seed(0)
    assert built({"image": slices}, generator)["image"].max() > 2
    if name in JITTERED:
        assert choose_policy(name, 1).policy({"image": slices}, generator)["image"].flatten(1).amax(1).min() <= 1


@pytest.mark.parametrize("bundle", ["dino_classification", "dino_segmentation"])
def test_an_overlay_sets_policy_and_strength_of_the_bundles_of_dino(bundle):
    own = BUNDLES / bundle / "configs" / "pretrain.json"
    parser = ConfigParser()
    parser.read_config([own])
    parser.update(choose_policy("weak", 3).overlay(0.5))
    first, second, *local = parser.get_parsed_content("policies")
    assert first.operations[0].area == second.operations[0].area == pytest.approx((0.75, 1.0))
    assert local[0].operations[0].area == pytest.approx((0.6, 0.75))
    crops = choose_policy(f"{own}#local_policy", 1)
    assert crops.policy.operations[0].area == pytest.approx((0.05, 0.4))


def test_an_overlay_goes_over_a_bundles_own_configuration():
    parser = ConfigParser()
    parser.read_config([CONFIGS / "pretrain_global.json"])
    parser.update(choose_policy("weak", 1).overlay(0.4))
    policy = parser.get_parsed_content("scaled_policy")
    assert policy.operations[0].area == pytest.approx((0.8, 1.0))


def test_the_policy_of_a_bundle_or_overlay_is_read_with_what_it_refers_to(tmp_path):
    assert torch.equal(views(choose_policy(CONFIGS / "pretrain_global.json", 1).policy), views(gcl_policy()))
    target = {"_target_": "monai_cl_ext.transforms.strong_policy", "blur_probability": "@chance", "crop": "@box"}
    content = {"chance": 0, "low": 0.2, "box": ["@low", 0.8], "own_policy": target, "view_policy": "@own_policy"}
    path = tmp_path / "own.json"
    path.write_text(json.dumps({**content, "unrelated": 1}))
    chosen = choose_policy(path, 3)
    assert chosen.name == "own.json" and set(chosen.entries) == set(content)
    assert chosen.policy.operations[0].area == (0.2, 0.8) and len(chosen.policy.operations) == 4
    parser = ConfigParser()
    parser.read_config([CONFIGS / "pretrain_global.json"])
    parser.update(chosen.overlay(0.5))
    assert parser.get_parsed_content("scaled_policy").operations[0].area == pytest.approx((0.6, 0.9))
    named = choose_policy(f"{path}#own_policy", 3)
    assert named.name == "own.json#own_policy" and named.entries["view_policy"] == target


def test_a_policy_that_reads_the_strength_itself_is_refused(tmp_path):
    scaled = {"_target_": "monai_cl_ext.transforms.scale_policy", "policy": "@own", "strength": "@strength"}
    own = {"_target_": "monai_cl_ext.transforms.weak_policy"}
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"strength": 0.5, "own": own, "view_policy": scaled}))
    with pytest.raises(ValueError, match="found @strength in it.*another name"):
        choose_policy(path, 3)


@pytest.mark.parametrize("content, message", [
    ({}, "expected a configuration with an entry 'view_policy', found {}"),
    ({"x": 1, "own_policy": 1}, "expected an entry 'view_policy', found own_policy; .* own.json#own_policy"),
    ({"view_policy": {"_target_": "monai_cl_ext.transforms.strong_policy", "spatial_dims": 3}}, "found 3D views"),
    ({"view_policy": {"_target_": "monai_cl_ext.transforms.IntensityShift", "low": 0, "high": 1}}, "found Intensity"),
])  # fmt: skip
def test_a_file_without_a_policy_of_2d_views_is_refused(content, message, tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        choose_policy(path, 1)


def test_unknown_names_and_absent_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="policy must be one of strong, weak"):
        choose_policy("storng", 1)
    with pytest.raises(FileNotFoundError, match="no such file"):
        choose_policy(tmp_path / "none.json", 1)
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ValueError, match="not readable"):
        choose_policy(tmp_path / "bad.json", 1)


def test_the_ladder_starts_at_the_image_itself():
    rungs = ladder(choose_policy("strong", 3), [1, 0.25])
    assert [(rung.name, rung.strength) for rung in rungs] == [("0", 0.0), ("0.25", 0.25), ("1", 1.0)]
    assert rungs[0].policy.operations == ()
    for wrong in ([0], [], [2], ["a"]):
        with pytest.raises(ValueError, match="strengths must"):
            ladder(choose_policy("strong", 3), wrong)


def test_a_policy_without_a_weaker_form_is_refused(tmp_path):
    erasing = {"_target_": "monai_cl_ext.transforms.BoxErasing"}
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"view_policy": {"_target_": "monai_cl_ext.transforms.ViewPolicy",
                                                "operations": [erasing]}}))  # fmt: skip
    with pytest.raises(ValueError, match="no weaker form"):
        ladder(choose_policy(path, 1))


def test_operations_stand_alone_with_their_groups_chance_and_the_range_of_intensities():
    parts = each_alone(strong_policy())
    names = [
        "AreaCropResize",
        "Mirror",
        "IntensityScaling",
        "Contrast",
        "Saturation",
        "Hue",
        "Grayscale",
        "GaussianBlur",
    ]
    assert [part.name for part in parts] == names
    contrast = parts[3].policy.operations
    assert len(contrast) == 1 and contrast[0].probability == 0.8 and len(contrast[0].operations) == 1
    crop, shift, _ = each_alone(gcl_policy())
    assert [type(operation).__name__ for operation in shift.policy.operations] == [
        "IntensityShift",
        "ClampIntensity",
    ]
    assert [type(operation).__name__ for operation in crop.policy.operations] == ["CropResize", "ClampIntensity"]
    blurred = ViewPolicy([*strong_policy().operations, *strong_policy().operations[-1:]])
    assert [part.name for part in each_alone(blurred)][-2:] == ["GaussianBlur", "GaussianBlur 2"]

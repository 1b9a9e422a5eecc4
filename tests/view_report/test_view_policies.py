# SPDX-License-Identifier: Apache-2.0
"""Policies by name and by file, their strengths, and their overlays in bundles."""

import json
from pathlib import Path

import pytest
import torch
import view_samples
from monai.bundle import ConfigParser

from monai_cl_ext.transforms import Mirror, ViewPolicy, gcl_policy, scale_policy
from monai_cl_ext.view_report.policies import JITTERED, NAMES, ViewSettings

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
CONFIGS = BUNDLES / "gcl_segmentation" / "configs"


def views(policy: ViewPolicy, channels: int = 3) -> torch.Tensor:
    return policy({"image": view_samples.smooth(4, channels)}, torch.Generator().manual_seed(0))["image"]


def chosen(name, channels=3, volumetric=False, strength=0.5):
    (setting,) = ViewSettings([str(name)], [strength], size=32).choices(channels, volumetric).values()
    return setting


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_overlay_builds_the_policy_that_is_shown(name, channels, recwarn):
    setting = chosen(name, channels)
    overlay = json.loads(json.dumps(setting.overlay))
    full = ConfigParser(overlay).get_parsed_content("view_policy")
    assert torch.equal(views(scale_policy(full, overlay["strength"]), channels), views(setting.policy, channels))
    assert not torch.equal(views(full, channels), views(setting.policy, channels))
    assert not [warning for warning in recwarn if "Saturation and Hue" in str(warning.message)]


@pytest.mark.parametrize("name", [*JITTERED, "basic"])
def test_a_policy_of_slices_clips_nothing_and_mirrors_the_first_axis_as_its_overlay_does(name):
    setting = chosen(name, 1, volumetric=True, strength=1)
    built = ConfigParser(json.loads(json.dumps(setting.overlay))).get_parsed_content("view_policy")
    (mirror,) = (operation for operation in built.operations if isinstance(operation, Mirror))
    assert mirror.axes == (0,)
    slices, generator = 3 * view_samples.smooth(16), torch.Generator().manual_seed(0)
    assert built({"image": slices}, generator)["image"].max() > 2
    if name in JITTERED:
        assert chosen(name, 1, strength=1).policy({"image": slices}, generator)["image"].flatten(1).amax(1).min() <= 1


def test_views_have_the_side_that_is_asked_for():
    (setting,) = ViewSettings(["strong"], [0.5], size=20).choices().values()
    assert views(setting.policy).shape == (4, 3, 20, 20)


@pytest.mark.parametrize("bundle", ["dino_classification", "dino_segmentation"])
def test_an_overlay_sets_policy_and_strength_of_the_bundles_of_dino(bundle):
    parser = ConfigParser()
    parser.read_config([BUNDLES / bundle / "configs" / "pretrain.json"])
    parser.update(chosen("weak").overlay)
    first, second, *local = parser.get_parsed_content("policies")
    assert first.operations[0].area == second.operations[0].area == pytest.approx((0.75, 1.0))
    assert local[0].operations[0].area == pytest.approx((0.6, 0.75))


def test_an_overlay_goes_over_a_bundles_own_configuration():
    parser = ConfigParser()
    parser.read_config([CONFIGS / "pretrain_global.json"])
    parser.update(chosen("weak", 1, strength=0.4).overlay)
    assert parser.get_parsed_content("scaled_policy").operations[0].area == pytest.approx((0.8, 1.0))


def test_the_policy_of_a_bundle_or_of_an_earlier_overlay_is_read(tmp_path):
    own = chosen(CONFIGS / "pretrain_global.json", 1, strength=1)
    assert torch.equal(views(own.policy), views(gcl_policy(size=32)))
    path = tmp_path / "$my, own_{policy}.json"
    target = {"_target_": "monai_cl_ext.transforms.strong_policy", "crop": [0.2, 0.8]}
    path.write_text(json.dumps({"view_policy": target, "strength": 0.25}))
    setting = chosen(path)
    assert setting.name == str(path) and setting.policy.operations[0].area == pytest.approx((0.6, 0.9))
    assert setting.overlay == {"view_policy": target, "strength": 0.5}


def test_a_policy_that_refers_to_its_bundles_entries_is_read_and_written_with_them():
    own = BUNDLES / "dino_classification" / "configs" / "pretrain.json"
    setting, weak = chosen(own, strength=1), chosen("weak", strength=1)
    assert setting.policy.operations[0].area == pytest.approx((0.4, 1.0))
    content = json.loads(own.read_text())
    assert setting.overlay == {"view_policy": content["view_policy"], "local_crop": [0.05, 0.4], "strength": 1}
    assert weak.overlay["local_crop"] == [0.2, 0.5]


@pytest.mark.parametrize("content, message", [
    ("{", "JSONDecodeError"), ("{}", "'view_policy'"), ("[1]", "no view_policy"),
    ('{"view_policy": {"_target_": "monai_cl_ext.transforms.strong_policy", "crop": "@box"}}', "@box"),
    ('{"view_policy": {"_target_": "monai_cl_ext.transforms.strong_policy", "spatial_dims": 3}}', "spatial_dims=3"),
    ('{"view_policy": {"_target_": "monai_cl_ext.transforms.IntensityShift", "low": 0, "high": 1}}', "no view_policy"),
    ('{"view_policy": {"_target_": "monai_cl_ext.transforms.ViewPolicy", "operations": '
     '[{"_target_": "monai_cl_ext.transforms.BoxErasing"}]}}', "no weaker form"),
    ('{"view_policy": {"_target_": "monai_cl_ext.transforms.strong"}}', "strong"),
])  # fmt: skip
def test_a_file_without_a_policy_of_2d_views_is_refused_by_name(content, message, tmp_path):
    path = tmp_path / "own.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"policy .*own\.json: .*{message}") as caught:
        ViewSettings([str(path)], [0.5])
    assert "\n" not in str(caught.value)


def test_strengths_rise_from_above_0_and_each_policy_comes_once():
    settings = ViewSettings(["weak", "strong", "weak"], [1, 0.25, 0])
    assert list(settings.choices()) == ["weak,0.25", "weak,1", "strong,0.25", "strong,1"]


@pytest.mark.parametrize("options, message", [
    ({"policies": ["storng"]}, "policy must be one of strong, weak, .* found 'storng'"),
    ({"policies": ["none.json"]}, "or a JSON file, found 'none.json'"),
    ({"strengths": [0]}, "strengths must be"), ({"strengths": []}, "strengths must be"),
    ({"strengths": [2]}, "strengths must be"), ({"strengths": ["a"]}, "strengths must be"),
    ({"strengths": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}, "1 to 5 numbers"),
    ({"size": 0}, "size must be"),
    ({"pick": "strong"}, "pick must be one of strong,0.5; strong,1, found strong"),
    ({"pick": "weak,0.5"}, "pick must be one of"), ({"pick": "strong,0.3"}, "pick must be one of"),
])  # fmt: skip
def test_mistakes_are_found_at_once(options, message):
    with pytest.raises((ValueError, OSError), match=message):
        ViewSettings(**{"policies": ["strong"], "strengths": [0.5, 1], **options})

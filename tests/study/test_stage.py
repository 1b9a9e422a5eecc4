# SPDX-License-Identifier: Apache-2.0
"""One stage of a bundle: known settings only, run once."""

import json

import pytest
from plain_bundle import write_plain_bundle

from monai_cl_ext.study.bundles import Bundle
from monai_cl_ext.study.stage import run_stage


@pytest.fixture
def bundle(tmp_path) -> Bundle:
    """A bundle whose run notes its settings in a file."""
    bundle = Bundle(write_plain_bundle(tmp_path))
    note = "$open(@bundle_root + '/note', 'a').write(str(@speed))"
    config = {"bundle_root": ".", "speed": 1, "resume": False, "run": [note]}
    bundle.path("train").write_text(json.dumps(config))
    (bundle.folder / "configs" / "faster.json").write_text(json.dumps({"speed": 2}))
    return bundle


def test_a_stage_runs_once_with_its_settings(bundle):
    seconds = run_stage(bundle, ["train"], {"speed": 3})
    assert seconds == pytest.approx(run_stage(bundle, ["train"], {"speed": 3}), abs=0.1)
    assert (bundle.folder / "note").read_text() == "3"
    arguments = json.loads((bundle.folder / "train.json").read_text())
    assert arguments["resume"] is True and arguments["speed"] == 3 and len(arguments["config_file"]) == 1


def test_a_second_run_of_a_stage_has_files_of_its_own(bundle):
    run_stage(bundle, ["train"], {"speed": 3})
    for _ in range(2):
        run_stage(bundle, ["train"], {"speed": 4}, name="again")
    assert (bundle.folder / "note").read_text() == "34" and (bundle.folder / "again.done").is_file()
    assert (bundle.folder / "again_data.json").is_file()
    speeds = [json.loads((bundle.folder / f"{name}.json").read_text())["speed"] for name in ("train", "again")]
    assert speeds == [3, 4]


def test_overlays_are_laid_over_a_stage(bundle):
    run_stage(Bundle(bundle.folder, ("faster",)), ["train"], {})
    assert (bundle.folder / "note").read_text() == "2"


def test_other_settings_are_refused_and_nothing_is_lost(bundle):
    run_stage(bundle, ["train"], {"speed": 3})
    with pytest.raises(ValueError, match="train.json tells of other settings"):
        run_stage(bundle, ["train"], {"speed": 4})
    assert (bundle.folder / "note").read_text() == "3"


def test_an_unknown_setting_is_named(bundle):
    with pytest.raises(ValueError, match=r"the setting 'sped' is in none of .*train.json"):
        run_stage(bundle, ["train"], {"sped": 4})
    assert not (bundle.folder / "train.json").exists()

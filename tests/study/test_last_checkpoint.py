# SPDX-License-Identifier: Apache-2.0
"""Which bundles have a last checkpoint that a study can score, and that its predictions are kept apart."""

import json

import pytest
from plain_bundle import write_plain_bundle

from monai_cl_ext.bundles import bundle_names
from monai_cl_ext.study.bundles import Bundle, find_bundle
from monai_cl_ext.study.last_checkpoint import last_inference
from monai_cl_ext.study.scores import find_predictions
from monai_cl_ext.study.task import Run, Task

FINAL = {"_target_": "CheckpointSaver", "save_final": True, "final_filename": "model_final.pt"}


@pytest.mark.parametrize("name", bundle_names())
def test_every_bundle_of_ours_has_one(name):
    assert last_inference(find_bundle(name)) == {
        "handlers#0#load_path": "$@ckpt_dir + '/model_final.pt'",
        "output_dir": "$@bundle_root + '/eval_last'",
    }


def changed(folder, stage, change):
    path = write_plain_bundle(folder) / "configs" / f"{stage}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path.parents[1]


def test_a_bundle_of_others_has_one_where_its_training_writes_it(tmp_path):
    assert last_inference(Bundle(write_plain_bundle(tmp_path / "without"))) == {}
    folder = changed(tmp_path, "train", lambda config: config["train"]["handlers"].append(FINAL))
    assert last_inference(Bundle(folder)) == {
        "evaluator#val_handlers#0#load_path": "$@bundle_root + '/models/model_final.pt'",
        "output_dir": "$@bundle_root + '/eval_last'",
    }
    off = {**FINAL, "_disabled_": True}
    folder = changed(tmp_path / "off", "train", lambda config: config["train"]["handlers"].append(off))
    assert last_inference(Bundle(folder)) == {}


@pytest.mark.parametrize("lost", ["loader", "folder"])
def test_none_is_scored_where_the_inference_cannot_load_it_or_write_apart(tmp_path, lost):
    folder = changed(tmp_path, "train", lambda config: config["train"]["handlers"].append(FINAL))
    path = folder / "configs" / "inference.json"
    config = json.loads(path.read_text())
    if lost == "loader":
        config["evaluator"]["val_handlers"] = []
    else:
        del config["output_dir"]
    path.write_text(json.dumps(config))
    assert last_inference(Bundle(folder)) == {}


def test_predictions_of_the_two_checkpoints_are_not_mixed(tmp_path):
    case = {"image": "/data/p1.nii.gz", "label": "/data/l1.nii.gz", "patient": "p1"}
    files = [tmp_path / folder / "p1" / "p1_trans.nii.gz" for folder in ("eval", "eval_last")]
    for path in files:
        path.parent.mkdir(parents=True)
        path.touch()
    assert find_predictions([case], tmp_path) == {case["image"]: files[0]}
    assert find_predictions([case], tmp_path / "eval_last") == {case["image"]: files[1]}
    files[0].unlink()
    with pytest.raises(FileNotFoundError, match="found no prediction p1_"):
        find_predictions([case], tmp_path)


def test_a_cell_without_one_is_described_as_before(tmp_path):
    task = Task("cell", "bundle", [], [Run(["train"]), Run(["inference"])])
    assert json.loads(task.to_json())["runs"] == [
        {"stages": ["train"], "settings": {}, "data": {}}, {"stages": ["inference"], "settings": {}, "data": {}}
    ]  # fmt: skip
    both = Task("cell", "bundle", [], [*task.runs, Run(["inference"], name="inference_last")])
    for number, cell in enumerate((task, both)):
        (tmp_path / f"{number}.json").write_text(cell.to_json())
        assert Task.read(tmp_path / f"{number}.json") == cell
    assert both.scores_last and not task.scores_last

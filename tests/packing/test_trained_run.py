# SPDX-License-Identifier: Apache-2.0
"""Which weights and which scores of a folder are those of its training."""

import json
import shutil

import pytest
from monai.bundle import ConfigParser
from workflows import SMALL, run

from monai_cl_ext.packing.configs import packed_configs
from monai_cl_ext.packing.names import names_of
from monai_cl_ext.packing.trained_run import trained_run


@pytest.fixture
def root(trained, tmp_path):
    """A copy of the folder, elsewhere than where it was trained."""
    return shutil.copytree(trained, tmp_path / "supervised_segmentation")


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_folder_that_was_moved_is_whole(root):
    run = trained_run(str(root))
    assert not run.unscored and {row["class"] for row in run.scores} == {"right", "wall", "left"}
    assert [record["stage"] for record in run.records] == ["train", "evaluate"]


def test_names_are_those_of_every_stage_and_of_the_whole_list_of_cases(root, phantom):
    patients = {path.name.partition("_")[0] for path in (phantom / "imagesTr").glob("*.nii.gz")}
    (root / "eval" / "run_evaluate.json").unlink()
    names, lacking = names_of(trained_run(str(root)))
    assert len(patients) == 8 and patients <= names and str(phantom) in names and not lacking
    card = {"patients": 1, "volumes": 1, "patient_of_volume": ["jane_roe"], "volume_names": ["/scans/a/7.nii.gz"]}
    (root / "eval" / "pretrain_global").mkdir()
    record = json.loads((root / "eval" / "run_train.json").read_text()) | {"stage": "pretrain_global"}
    (root / "eval" / "pretrain_global" / "run_pretrain_global.json").write_text(
        json.dumps(record | {"data": {"pre-training": card}})
    )
    change(root / "eval" / "config_train.json", dataset_dir="/scans/moved")
    names, lacking = names_of(trained_run(str(root)))
    assert {"jane_roe", "/scans/a", "7"} <= names and not patients <= names
    assert lacking.startswith("the list of cases cannot be read again") and "moved" in lacking


def test_weights_of_another_training_are_refused(root, tmp_path):
    change(root / "eval" / "config_train.json", ckpt_dir=str(tmp_path / "elsewhere"))
    with pytest.raises(ValueError, match=r"kept them in ckpt_dir '.*elsewhere'"):
        trained_run(str(root))
    change(root / "eval" / "config_train.json", ckpt_dir=str(root / "models"), output_dir="./eval")
    assert trained_run(str(root)).weights == root / "models" / "model.pt"


def test_a_later_training_that_recorded_elsewhere_is_noticed(root, given, phantom, tmp_path):
    settings = SMALL | given | {"dataset_dir": str(phantom), "seed": 1}
    run(root, ["train"], **settings, output_dir=str(tmp_path / "eval"))
    with pytest.raises(ValueError, match=r"model\.pt is not what the training of eval/run_train\.json wrote"):
        trained_run(str(root))


def test_scores_under_other_settings_do_not_count(root):
    path = root / "eval" / "run_evaluate.json"
    settings = json.loads(path.read_text())["settings"]
    change(path, settings=settings | {"image_size": [96, 96], "window": [0, 1]})
    run = trained_run(str(root))
    assert run.unscored == "evaluated at image_size [96, 96], trained at [32, 32]; window [0, 1], trained at None"
    assert not run.scores and run.evaluation["settings"]["class_names"] == ["right", "wall", "left"]


@pytest.mark.parametrize(
    "values, named",
    [
        ({"split_seed": 1}, "split_seed"), ({"test_patients": 3}, "test_patients"),
        ({"dataset_dir": "/scans/other_site"}, "dataset_dir"),
        ({"scale_intensities": {"_target_": "monai.transforms.ScaleIntensityd", "keys": "image"}}, "scale_intensities"),
        ({"window_inferer": None, "slice_inferer": {"_target_": "monai.inferers.SimpleInferer"}},
         "slice_inferer and window_inferer"),
    ],
)  # fmt: skip
def test_scores_of_other_data_or_predictions_do_not_count(root, values, named):
    change(root / "eval" / "config_evaluate.json", **values)
    run = trained_run(str(root))
    assert run.unscored == f"evaluated with another {named} than it was trained with" and not run.scores
    assert "other_site" not in run.unscored


def test_scores_of_patients_that_were_trained_on_do_not_count(root):
    path = root / "eval" / "run_evaluate.json"
    cards = json.loads((root / "eval" / "run_train.json").read_text())["data"]
    for part, count in (("training", 3), ("validation", 2)):
        change(path, data={"test": cards[part]})
        run = trained_run(str(root))
        assert run.unscored == f"evaluated on {count} patient(s) of the data that it was trained on or chosen by"
        assert not any(patient in run.unscored for patient in cards[part]["patient_of_volume"])
    change(path, data={"validation": cards["validation"]})  # of which the page says that they chose the weights
    assert not trained_run(str(root)).unscored


def test_scores_of_weights_of_another_folder_do_not_count(root, tmp_path):
    change(root / "eval" / "config_evaluate.json", ckpt_dir=str(tmp_path / "elsewhere"))
    run = trained_run(str(root))
    assert run.unscored == "evaluated with other weights" and not run.scores and run.evaluation is None


def test_a_training_that_was_not_evaluated_has_no_scores(root):
    change(root / "eval" / "run_evaluate.json", completed=False)
    assert trained_run(str(root)).unscored == "not evaluated before it was packed"


def test_without_an_evaluation_classes_have_the_names_of_the_data_or_numbers(root, tmp_path):
    change(root / "eval" / "config_evaluate.json", ckpt_dir=str(tmp_path / "elsewhere"))
    assert trained_run(str(root)).class_names == ["RV", "myocardium", "LV"]
    change(root / "eval" / "config_train.json", dataset_dir=str(tmp_path))
    assert trained_run(str(root)).class_names == ["class 1", "class 2", "class 3"]
    change(root / "configs" / "evaluate.json", class_names=["one", "two", "three"])  # as train writes it
    assert trained_run(str(root)).class_names == ["one", "two", "three"]


def test_the_data_of_a_default_folder_name_the_classes(root, phantom):
    change(root / "eval" / "run_evaluate.json", completed=False)
    change(root / "eval" / "config_train.json", dataset_dir="$@bundle_root + '/data'")
    assert trained_run(str(root)).class_names == ["class 1", "class 2", "class 3"]
    (root / "data").symlink_to(phantom)
    assert trained_run(str(root)).class_names == ["RV", "myocardium", "LV"]


def test_a_relative_folder_of_data_is_looked_up_from_where_the_training_was_started(root, phantom):
    change(root / "eval" / "run_evaluate.json", completed=False)
    change(root / "eval" / "config_train.json", dataset_dir=f"../{phantom.parent.name}/{phantom.name}")
    change(root / "eval" / "run_train.json", working_directory=str(phantom.parent))
    assert trained_run(str(root)).class_names == ["RV", "myocardium", "LV"]


def test_names_of_classes_are_packed_as_text_not_as_expressions(root):
    path, names = root / "eval" / "run_evaluate.json", ["$1 + 1", "@device", "left"]
    change(path, settings=json.loads(path.read_text())["settings"] | {"class_names": names})
    parser = ConfigParser(packed_configs(trained_run(str(root)))["evaluate"])
    assert parser.get_parsed_content("class_names") == names

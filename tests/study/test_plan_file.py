# SPDX-License-Identifier: Apache-2.0
"""A plan that comes from a file is checked as one that is made."""

import json
from pathlib import Path

import pytest

from monai_cl_ext.data import write_phantom
from monai_cl_ext.study.cells import tasks
from monai_cl_ext.study.commands import StudyCommands, keep_plan
from monai_cl_ext.study.leaks import LeakError
from monai_cl_ext.study.plan import Plan


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The folder of a study that was planned."""
    root = tmp_path_factory.mktemp("made")
    phantom = write_phantom(root / "phantom", patients=6, seed=0)
    keep_plan(root / "study", {
        "dataset_dir": str(phantom), "methods": ["gcl_segmentation"], "labelled": [1], "draws": 1, "validation": 1,
        "test": 2,
    })  # fmt: skip
    return root / "study"


@pytest.fixture
def study(made, tmp_path) -> Path:
    """A copy of that folder, to be damaged."""
    for name in ("plan.json", "environment.json", "data_card.csv"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    return tmp_path


def change(study: Path, **fields) -> None:
    content = json.loads((study / "plan.json").read_text())
    (study / "plan.json").write_text(json.dumps({**content, **fields}))


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_cut_or_empty_plan_is_named_and_kept(study, keep):
    whole = (study / "plan.json").read_bytes()
    (study / "plan.json").write_bytes(whole[:keep])
    for command in (StudyCommands().run, StudyCommands().plan, StudyCommands().report):
        with pytest.raises(ValueError, match=r"plan.json is cut, empty or no JSON .*; restore it, or remove it"):
            command(str(study))
    with pytest.raises(ValueError, match="plan.json is cut"):
        keep_plan(study, {"dataset_dir": "x", "methods": ["gcl_segmentation"], "labelled": [1]})
    assert (study / "plan.json").read_bytes() == whole[:keep]


def test_a_plan_of_another_version_is_named(study):
    change(study, further=1)
    with pytest.raises(ValueError, match=r"no plan, or one of another version \(\['further'\]\)"):
        keep_plan(study, {})
    (study / "plan.json").write_text("[]")
    with pytest.raises(ValueError, match=r"another version \(list\)"):
        keep_plan(study, {})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("methods", {"a": 1}), ("methods", {}), ("methods", {"x" * 101: "gcl_segmentation"}), ("methods", ["a"]),
        ("labelled", [0]), ("labelled", ["1"]), ("labelled", 1), ("draws", 0), ("draws", True), ("seeds", 1.5),
        ("splits", []), ("splits", [{"train": []}]), ("classes", {"2": "x"}), ("classes", {"1": "x", "2": "x"}),
        ("settings", [1]), ("scratch_learning_rates", [-1]), ("tolerance", None),
        ("tolerance", float("nan")), ("use_spacing", "yes"), ("transductive", 1), ("folders", "x"),
    ],
)  # fmt: skip
def test_a_value_that_no_plan_has_is_named(study, field, value):
    change(study, **{field: value})
    with pytest.raises(ValueError, match=f"plan.json is no plan: {field} must be "):
        keep_plan(study, {})


def test_cases_without_what_a_case_needs_are_named(study):
    split = json.loads((study / "plan.json").read_text())["splits"][0]
    for case in ({"image": 3, "patient": "a"}, {"patient": "a"}, {"image": "x", "patient": ""}, "x"):
        change(study, splits=[{**split, "test": [case]}])
        with pytest.raises(ValueError, match="splits must be for each fold the lists"):
            keep_plan(study, {})


def test_a_plan_that_leaks_or_lost_its_volumes_is_refused(study):
    split = json.loads((study / "plan.json").read_text())["splits"][0]
    change(study, splits=[{**split, "train": [*split["train"], *split["test"]]}])
    with pytest.raises(LeakError, match="is a labeled patient and a test patient"):
        keep_plan(study, {})
    gone = {**split["test"][0], "image": "/nowhere/x.nii.gz"}
    change(study, splits=[{**split, "test": [gone]}])
    with pytest.raises(FileNotFoundError, match=r"plan.json names /nowhere/x.nii.gz"):
        keep_plan(study, {})


def test_settings_of_the_study_itself_are_refused(study):
    change(study, settings={"bundle_root": "$print('x')"})
    with pytest.raises(ValueError, match="settings: 'bundle_root' is set by the study itself"):
        keep_plan(study, {})


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "..", ".", "a/b", "$x", "a\nb"])
def test_no_method_writes_outside(study, name):
    change(study, methods={name: "gcl_segmentation"})
    plan = Plan.read(study / "plan.json")
    for cell in tasks(plan, study):
        assert (study / cell.name).resolve().is_relative_to(study.resolve()) and len(Path(cell.name).parts) == 3


def test_a_record_of_bundles_that_is_damaged_is_named(study):
    for text in ("", "{}", "[]", '{"bundles": {}}'):
        (study / "environment.json").write_text(text)
        with pytest.raises(ValueError, match=r"environment.json (does not tell|tells of)"):
            keep_plan(study, {})


def test_no_method_is_called_as_comparisons_call_the_best_one(study):
    content = json.loads((study / "plan.json").read_text())
    content["methods"] = {"best": next(iter(content["methods"].values()))}
    (study / "plan.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="methods must be a mapping from names of at most 100 characters, but 'best'"):
        Plan.read(study / "plan.json")

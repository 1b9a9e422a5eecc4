# SPDX-License-Identifier: Apache-2.0
"""Every stage says the same of a file that it cannot read: its name, what was found, what to do."""

import json
import re
import sys

import numpy as np
import pytest
import torch
from bad_files import BAD, CHANNELS, plain, refuse_to_open, save, voxels
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image
from workflows import SMALL, copy_bundle

from monai_cl_ext import cli
from monai_cl_ext.data import opening
from monai_cl_ext.errors import root_cause

READABLE = ("missing", "dead link", "link to itself", "empty", "truncated .nii.gz", "truncated .nii", "flipped voxel",
            "not compressed", "git-lfs pointer", "negative size", "huge size", "complex", "colors")  # fmt: skip
KINDS = {kind: BAD[kind] for kind in READABLE} | {"channels": CHANNELS}
LISTED = [kind for kind in READABLE if kind != "missing"]
STAGES = {
    "pre-training": (["pretrain_global"], "pretrain"),
    "training": (["train"], "train"),
    "validation": (["train"], "validation"),
    "evaluation": (["train", "evaluate"], "test"),
    "inference": (["inference"], ""),
}
WRAPPED = (RuntimeError, ValueError, OSError)  # MONAI's or ours; the cause is what counts
SIZES = {name: SMALL[name] for name in ("image_size", "pixdim", "network_def#features")}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """With weights, so that evaluation and inference start."""
    root = copy_bundle("gcl_segmentation", tmp_path_factory.mktemp("bundle"))
    parser = ConfigParser(ConfigParser.load_config_file(root / "configs" / "train.json"))
    parser.update({"network_def#features": SMALL["network_def#features"]})
    (root / "models").mkdir()
    torch.save(parser.get_parsed_content("network_def").state_dict(), root / "models" / "model.pt")
    return root


@pytest.fixture
def data(tmp_path):
    """Four whole cases."""
    for room, values in (("images", 200), ("labels", 4)):
        (tmp_path / room).mkdir()
        for number in range(4):
            save(voxels(number) % values)(tmp_path / room / f"p{number}.nii")
    return tmp_path


def spoilt(data, bad, room="images") -> str:
    """The path of a volume that was made a bad file."""
    (data / room / "p1.nii").unlink()
    path = data / room / f"p1{bad.suffix}"
    bad.write(path)
    return str(path)


def run(bundle, data, stage, **paths) -> None:
    """Runs a stage that reads, among whole cases, the one whose image or label is given."""
    whole, case = ({key: f"{data}/{key}s/{name}.nii" for key in ("image", "label")} | {"patient": name}
                   for name in ("p0", "p1"))  # fmt: skip
    case |= paths
    configs, part = STAGES[stage]
    split = {name: [whole, case] if name == part else [whole] for name in ("pretrain", "train", "validation", "test")}
    settings = {**SMALL, "epochs": 1, "batches_per_epoch": 1, "cases": [], "split": split}
    settings |= {"volumes_per_batch": 1} if stage == "pre-training" else {"labelled": split["train"]}
    if stage == "inference":
        settings = {**SIZES, "device": SMALL["device"], "datalist": [whole["image"], case["image"]]}
    flow = ConfigWorkflow([f"{bundle}/configs/{name}.json" for name in configs], logging_file=False,
                          workflow_type=None, bundle_root=str(bundle), **settings)  # fmt: skip
    flow.initialize()
    flow.run()


def assert_told(message: str, path: str, bad) -> None:
    assert re.search(f"{re.escape(path)}: .*{bad.found}.*{bad.remedy}", message), message
    assert "\n" not in message and message.count(f"{path}: ") == 1


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_stage_names_file_fault_and_remedy(kind, stage, bundle, data):
    path = spoilt(data, KINDS[kind])
    with pytest.raises(WRAPPED) as error:
        run(bundle, data, stage, image=path)
    assert_told(root_cause(error.value), path, KINDS[kind])


@pytest.mark.parametrize("stage", ["training", "validation", "evaluation"])
@pytest.mark.parametrize("kind", ["missing", "truncated .nii.gz", "flipped voxel", "channels"])
def test_every_stage_names_a_bad_label(kind, stage, bundle, data):
    path = spoilt(data, KINDS[kind], "labels")
    with pytest.raises(WRAPPED) as error:
        run(bundle, data, stage, label=path)
    assert_told(root_cause(error.value), path, KINDS[kind])


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_names_a_file_that_may_not_be_read(stage, bundle, data, monkeypatch):
    path = f"{data}/images/p1.nii"
    refuse_to_open(opening, path, monkeypatch)
    with pytest.raises(WRAPPED) as error:
        run(bundle, data, stage)
    assert_told(root_cause(error.value), path, BAD["empty"]._replace(found="may not be read", remedy="permission"))


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_reads_whole_files(stage, bundle, data):
    """What is refused above is refused for the bad file."""
    run(bundle, data, stage)


# the command line


def command(monkeypatch, *arguments) -> str:
    """How a command ends."""
    monkeypatch.setattr(sys, "argv", ["monai-cl", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return str(end.value.code)


def plan_of(data, **others) -> list[str]:
    settings = {
        "output": data / "study", "dataset_dir": data / "images", "label_dir": data / "labels",
        "methods": "[scratch,gcl_segmentation]", "labelled": "[1]", "validation": 1, "test": 1, "classes": "[a]",
        "scratch_learning_rates": "[]", "settings": json.dumps(SIZES), **others,
    }  # fmt: skip
    return ["study", "plan", *(f"--{name}={value}" for name, value in settings.items())]


@pytest.mark.parametrize("room", ["images", "labels"])
@pytest.mark.parametrize("kind", LISTED)
def test_the_plan_of_a_study_ends_in_one_line(kind, room, data, monkeypatch):
    path = spoilt(data, KINDS[kind], room)
    ended = command(monkeypatch, *plan_of(data))
    assert_told(ended, path, KINDS[kind])
    assert ended.startswith("monai-cl: ") and not (data / "study" / "plan.json").exists()


def test_what_the_timed_steps_of_a_plan_find_ends_in_one_line(data, monkeypatch):
    for number in range(4):  # all, so that whichever is timed
        (data / "images" / f"p{number}.nii").write_bytes(plain(number, (24, 24, 8, 2)))
    ended = command(monkeypatch, *plan_of(data))
    assert_told(ended, re.search(r"^monai-cl: (\S+): ", ended).group(1), CHANNELS)


def test_a_study_of_pictures_is_refused_in_one_line(data, monkeypatch):
    for file in data.rglob("*.nii"):
        Image.fromarray(np.eye(8, dtype=np.uint8)).save(file.with_suffix(".png"))
        file.unlink()
    ended = command(monkeypatch, *plan_of(data))
    assert re.search(r"^monai-cl: \S+\.png: .*a PNG picture; convert it to NIfTI$", ended)


@pytest.mark.parametrize("kind", LISTED)
def test_views_end_in_one_line(kind, data, monkeypatch):
    path = spoilt(data, KINDS[kind])
    ended = command(monkeypatch, "views", data / "images", f"--output={data / 'views'}", "--images=16", "--size=24")
    assert_told(ended, path, KINDS[kind])
    assert ended.startswith("monai-cl: ") and not (data / "views").exists()


def test_a_plan_keeps_whole_paths_of_relative_folders(data, monkeypatch):
    monkeypatch.chdir(data)
    folders = {"output": "study", "dataset_dir": "images", "label_dir": "labels", "probe": False}
    monkeypatch.setattr(sys, "argv", ["monai-cl", *plan_of(data, **folders)])
    cli.main()
    (split,) = json.loads((data / "study" / "plan.json").read_text())["splits"]
    for case in [case for part in split.values() for case in part]:
        assert case["image"].startswith(f"{data}/images/") and case["label"].startswith(f"{data}/labels/")

# SPDX-License-Identifier: Apache-2.0
"""Every stage says the same of a file that it cannot read: its name, what was found, what to do."""

import json
import re
import sys
import warnings
from collections.abc import Callable
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest
import torch
from bad_files import BAD, CHANNELS, LABEL_CHANNELS, plain, refuse_to_open, save, voxels
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
    bad = LABEL_CHANNELS if kind == "channels" else KINDS[kind]
    path = spoilt(data, bad, "labels")
    with pytest.raises(WRAPPED) as error:
        run(bundle, data, stage, label=path)
    assert_told(root_cause(error.value), path, bad)


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


# faults that files do not show by themselves


class Judged(NamedTuple):
    """What is changed in a case, and what every stage says of it; None where it is simply read."""

    room: str
    change: Callable[[np.ndarray, np.ndarray], tuple]
    refused: str | None = None
    warned: str | None = None
    unit: str = "unknown"


def with_value(value, number=3):
    def change(array, affine):
        array = array.astype(np.float32)
        array.flat[:number] = value
        return array, affine

    return change


def moved(array, affine):
    return array, affine @ np.array([[1, 0, 0, 9], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def flipped(array, affine):
    return array[::-1], affine @ np.array([[-1, 0, 0, len(array) - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def halved(array, affine):
    scale = np.diag([1, 1, 2, 1.0])
    scale[2, 3] = 0.5
    return array[:, :, ::2], affine @ scale


JUDGED = {
    "NaN": Judged("images", with_value(np.nan), refused=r"3 voxel\(s\) are NaN or infinite"),
    "infinity": Judged("images", with_value(-np.inf), refused=r"3 voxel\(s\) are NaN or infinite"),
    "sparse": Judged("images", lambda a, m: with_value(5)(a * 0, m), warned="percentiles 1 and 99 coincide"),
    "meters": Judged("images", lambda a, m: (a, np.diag([1e-3, 1e-3, 1e-3, 1]) @ m), unit="meter"),
    "last axes": Judged("images", lambda a, m: (a[..., None, None], m)),
    "label flipped": Judged("labels", flipped),
    "label of another sampling": Judged("labels", halved, warned="sampled on another grid"),
    "label elsewhere": Judged("labels", moved, refused="same box|no position"),
    "label cropped": Judged("labels", lambda a, m: (a[:-2], m), refused="same box|no position"),
    "label nearly whole": Judged("labels", lambda a, m: (a * 1.0025, m), warned=r"not whole, such as [123]\.0"),
    "label between classes": Judged("labels", with_value(0.5), refused="found the value 0.5"),
    "label of NaN": Judged("labels", with_value(np.nan), refused="found the value nan"),
    "label of another class": Judged("labels", with_value(4), refused="classes 0 to 3 of num_classes 4, found 4"),
    "negative label": Judged("labels", with_value(-1), refused="found -1"),
}
SEEN_BY = {"images": tuple(STAGES), "labels": ("training", "validation", "evaluation")}


@pytest.mark.parametrize(
    "kind, stage", [(kind, stage) for kind, each in JUDGED.items() for stage in SEEN_BY[each.room]]
)
def test_every_stage_judges_a_case_alike(kind, stage, bundle, data):
    case = JUDGED[kind]
    path = data / case.room / "p1.nii"
    stored = nib.load(path)
    image = nib.Nifti1Image(*case.change(np.asarray(stored.dataobj), stored.affine))
    image.header.set_xyzt_units(case.unit)
    path.unlink()
    nib.save(image, path)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        if case.refused:
            with pytest.raises(WRAPPED) as error:
                run(bundle, data, stage)
            assert re.search(f"{re.escape(str(path))}: .*{case.refused}", root_cause(error.value))
            return
        run(bundle, data, stage)
    told = [str(warning.message) for warning in seen if str(path) in str(warning.message)]
    told = [message for message in told if "dropped" not in message]  # by the dataset, which tells what it leaves out
    assert len(told) == bool(case.warned), told
    assert not case.warned or re.search(case.warned, told[0])


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
        "methods": "[scratch,gcl_segmentation]", "labelled": "[1]", "validation": 1, "test": 1, "classes": "[a,b,c]",
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

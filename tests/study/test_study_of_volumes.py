# SPDX-License-Identifier: Apache-2.0
"""A study on 3D patches: every method with the overlay ``volumes``, from its command to its page."""

import json
from pathlib import Path

import nibabel as nib
import pytest
import torch
from launcher import here
from monai.bundle import ConfigParser

from monai_cl_ext.data import write_phantom
from monai_cl_ext.data.store.listing import holdings
from monai_cl_ext.study.cells import tasks
from monai_cl_ext.study.collection import collect_scores, write_tables
from monai_cl_ext.study.commands import keep_plan
from monai_cl_ext.study.planning import make_plan
from monai_cl_ext.study.probe import expected_seconds
from monai_cl_ext.study.report.page import write_study_report
from monai_cl_ext.study.scheduler import run_cells
from monai_cl_ext.study.scores import find_predictions
from monai_cl_ext.study.task import Kind

SIZE = [32, 16, 16]
VOLUMES = {"image_size": SIZE, "pixdim": [6.0, 6.0, 3.0], "network_def#features": [4, 4, 8, 8, 8, 4]}
SHORT = {"epochs": 1, "batches_per_epoch": 2}
METHODS = {
    "supervised": "scratch > supervised_segmentation+volumes",
    "BCP": "bcp_segmentation+volumes",
    "GCL > Mean Teacher": "gcl_segmentation+volumes > mean_teacher_segmentation+volumes",
}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("data") / "phantom", patients=8, seed=0)


def arguments(phantom: Path, **others) -> dict:
    return {
        "dataset_dir": str(phantom), "methods": METHODS, "labelled": [2], "draws": 1, "scratch_learning_rates": [],
        "validation": 2, "test": 2, "settings": VOLUMES, "pretrain_settings": {**SHORT, "volumes_per_batch": 1},
        "train_settings": {"epochs": 2, "batches_per_epoch": 40, "learning_rate": 0.01}, **others,
    }  # fmt: skip


@pytest.mark.slow
def test_a_study_of_patches_shares_its_store_and_starts_from_its_weights(phantom, tmp_path, monkeypatch):
    monkeypatch.setenv("MONAI_CL_EXT_STORE", str(tmp_path / "store"))
    root = tmp_path / "study"
    cells = tasks(keep_plan(root, arguments(phantom)), root)
    final = {task.facts["method"]: task for task in cells if task.kind == Kind.FINETUNE}
    assert expected_seconds([final["BCP"]]).popitem()[1] > 0
    run_cells(cells, root, here, 1)

    (prepared,) = holdings(tmp_path / "store")  # one preparation for all cells
    split = keep_plan(root, {}).splits[0]
    entries, images = list(prepared.folder.glob("*/volume.json")), list(prepared.folder.glob("*/image.npy"))
    assert prepared.volumes == len(split["pretrain"]) + len(split["validation"])
    assert len(entries) == prepared.volumes + 2  # two patients with their labels as well
    assert len({file.stat().st_ino for file in images}) == prepared.volumes  # and their images once

    scores = collect_scores(cells, root)
    assert len(scores) == len(METHODS) * 2 * 3 * 5 and set(scores["method"]) == set(METHODS)
    dice = scores[scores["metric"] == "dice"]["value"]
    assert dice.between(0, 1).all() and dice.max() > 0
    for task in final.values():
        for image, file in find_predictions(task.scored, root / task.name / "eval").items():
            assert nib.load(file).shape == nib.load(image).shape

    start, pretrained = network_at_start(root / final["GCL > Mean Teacher"].name)
    assert pretrained.keys() >= start.keys() and start["conv_0.conv_0.conv.weight"].ndim == 5
    encoder = [name for name in start if name.startswith(("conv_0", "down_"))]
    assert encoder and all(torch.equal(start[name], pretrained[name]) for name in encoder)

    write_tables(cells, root)
    page = write_study_report(root).read_text()
    assert "Largest gain and loss" in page and "No overlays: the study" not in page and "Pre-training" in page
    assert list((root / "figures").glob("overlay_largest_*.png"))


def network_at_start(cell: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The weights that a cell's training began with, and those of the file that it was handed."""
    settings = json.loads((cell / "train.json").read_text())
    parser = ConfigParser()
    parser.read_config(settings.pop("config_file"))
    parser.update(settings)
    weights = torch.load(parser.get_parsed_content("pretrained"), weights_only=True)
    return parser.get_parsed_content("initial_network").state_dict(), weights


@pytest.mark.parametrize("methods, told", [
    ({"a": "gcl_segmentation > bcp_segmentation+volumes"}, "a: gcl_segmentation pre-trains with spatial_dims 2"),
    ({"a": "gcl_segmentation+volumes > bcp_segmentation"}, "segmentation.volumes pre-trains with spatial_dims 3"),
    ({"a": "bcp_segmentation+volumes", "b": "scratch"}, "'a' and 'b' are fine-tuned with different spatial_dims"),
])  # fmt: skip
def test_slices_and_volumes_are_not_mixed(phantom, methods, told):
    with pytest.raises(ValueError, match=told):
        make_plan(**arguments(phantom, methods=methods, settings={}, pretrain_settings={}))

# SPDX-License-Identifier: Apache-2.0
"""The set-ups of the semi-supervised papers, one overlay each for all bundles of few labels."""

from pathlib import Path

import pytest
import torch
from workflows import copy_bundle, parsed, read, run

from monai_cl_ext.bundles import bundle_names
from monai_cl_ext.data import write_phantom
from monai_cl_ext.networks import UAMTVNet

SERVED = [name for name in bundle_names() if "paper_ssl4mis" in read(name, "metadata")["overlays"]]
MIXED = [name for name in SERVED if "labelled_per_batch" in read(name, "train")]
CASES = [
    {"image": f"patient{number:03}_frame0{frame}.nii.gz", "patient": f"patient{number:03}", "label": "x"}
    for number in range(1, 101)
    for frame in (1, 2)
]
SETTINGS = {"cases": CASES, "device": "cpu"}


class Rows:
    """Stands for the slices."""

    labelled_rows, unlabelled_rows = range(99), range(99, 400)


def rates(parser, steps):
    """Learning rates after so many steps."""
    optimizer, schedule = (parser.get_parsed_content(name) for name in ("optimizer", "lr_scheduler"))
    found = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps):
        schedule.step()
        found.append(optimizer.param_groups[0]["lr"])
    return optimizer, found


def only_network(name, *overlays, **more):
    """The config with a method of one layer, whose optimizer and schedule are looked at."""
    small = {"module": {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}}
    return parsed(name, "train", *overlays, **{**SETTINGS, **small, **more})


def test_the_bundles_of_few_labels_are_served():
    assert set(SERVED) >= {"supervised_segmentation", *MIXED} and len(MIXED) >= 6
    assert all("paper_la" in read(name, "metadata")["overlays"] for name in SERVED)


@pytest.mark.parametrize("name", SERVED)
def test_ssl4mis_sets_patients_batches_optimizer_and_schedule(name):
    parser = only_network(name, "paper_ssl4mis")
    assert parser["image_size"] == [256, 256] and parser["batch_size"] == 24
    assert parser["epochs"] * parser["batches_per_epoch"] == 30_000
    split = parser.get_parsed_content("split")
    assert [len(split[part]) for part in ("pretrain", "train", "validation", "test")] == [140, 14, 20, 40]
    assert parser.get_parsed_content("labelled") == split["train"]
    optimizer, found = rates(parser, 300)
    assert type(optimizer) is torch.optim.SGD
    assert {key: optimizer.defaults[key] for key in ("momentum", "weight_decay")} == {
        "momentum": 0.9,
        "weight_decay": 1e-4,
    }
    assert found == pytest.approx([0.01 * (1 - step / 30_000) ** 0.9 for step in range(301)], rel=1e-9)
    assert parsed(name, "train", "paper_ssl4mis", **SETTINGS).get_parsed_content("network_def").conv_0 is not None


@pytest.mark.parametrize("name", MIXED)
def test_ssl4mis_has_12_labeled_and_12_unlabeled_rows_and_the_ramps_of_the_bundle(name):
    plain, paper = parsed(name, "train"), only_network(name, "paper_ssl4mis", **{"train#dataset": Rows()})
    first = next(iter(paper.get_parsed_content("train#sampler")))
    assert [row < 99 for row in first] == [True] * 12 + [False] * 12
    assert (
        paper["consistency_weight"] == plain["consistency_weight"] and paper["ramp_up_steps"] == plain["ramp_up_steps"]
    )
    assert paper.get_parsed_content("ramp_up_steps") in (0, 36_000 if name == "caussl_segmentation" else 30_000)


def test_ssl4mis_turns_and_mirrors():
    (policy,) = (
        parsed("mean_teacher_segmentation", "train", "paper_ssl4mis", **SETTINGS)
        .get_parsed_content("train#views")
        .policies
    )
    image = torch.zeros(400, 1, 16, 16)
    image[..., :4, :8] = 1
    view = policy({"image": image}, torch.Generator().manual_seed(0))["image"]
    same = (view - image).abs().amax(dim=(1, 2, 3)) < 1e-3
    assert 0.18 < same.double().mean() < 0.32  # a quarter is left alone
    mirrored = [turned for turns in range(4) for turned in [image[:1].flip(-1).rot90(turns, (2, 3))]]
    whole = torch.stack([(view - turned).abs().amax(dim=(1, 2, 3)) < 1e-3 for turned in mirrored]).any(0)
    assert 0.18 < whole.double().mean() < 0.32  # a quarter is mirrored and turned by quarters alone


@pytest.mark.parametrize("name", SERVED)
def test_la_sets_network_patches_optimizer_and_schedule(name):
    parser = only_network(name, "paper_la")
    assert parser["epochs"] * parser["batches_per_epoch"] == 6000 and parser["batch_size"] == 4
    assert parser["image_size"] == [112, 112, 80] and parser["labelled_patients"] == 16 and parser["foreground"] == 0
    _, found = rates(parser, 5500)
    assert [found[step] for step in (0, 2499, 2500, 4999, 5000)] == pytest.approx([0.01, 0.01, 1e-3, 1e-3, 1e-4])
    network = parsed(name, "train", "paper_la", **SETTINGS).get_parsed_content("network_def")
    assert type(network) is UAMTVNet and sum(each.numel() for each in network.parameters()) == 9_448_866


def test_la_turns_by_quarters_and_always_mirrors():
    (policy,) = (
        parsed("mean_teacher_segmentation", "train", "paper_la", **SETTINGS).get_parsed_content("train#views").policies
    )
    image = torch.zeros(64, 1, 16, 16, 8)
    image[..., :4, :8, :3] = 1
    view = policy({"image": image}, torch.Generator().manual_seed(0))["image"]
    mirrored = [image[:1].flip(3).rot90(turns, (2, 3)) for turns in range(4)]
    found = torch.stack([(view - turned).abs().amax(dim=(1, 2, 3, 4)) < 1e-3 for turned in mirrored])
    assert found.any(0).all() and found.any(1).all()


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom") / "data", patients=9, seed=0)


SHORT = {"epochs": 1, "batches_per_epoch": 2, "device": "$torch.device('cpu')", "batch_size": 4}


@pytest.mark.slow
@pytest.mark.parametrize("overlay, sizes", [
    ("paper_ssl4mis", {"image_size": [32, 32], "pixdim": [5.0, 5.0], "network_def#features": [4, 8, 8, 8, 8, 4]}),
    ("paper_la", {"image_size": [32, 32, 16], "pixdim": [5.0, 5.0, 5.0], "num_classes": 4, "network_def#features": 2}),
])  # fmt: skip
@pytest.mark.parametrize("name", ["dan_segmentation", "cps_segmentation"])
def test_a_training_under_the_overlay_is_scored_and_served(name, overlay, sizes, phantom, tmp_path):
    root = copy_bundle(name, tmp_path)
    split = {"_target_": "monai_cl_ext.data.split_patients", "cases": "@cases", "validation": 2, "test": 2}
    drawn = {"_target_": "monai_cl_ext.data.draw_patients", "cases": "$@split['train']", "number": 2, "seed": 0}
    settings = {"dataset_dir": str(phantom), **SHORT, **sizes, "split": split, "labelled": drawn}
    flow = run(root, ["train", overlay], **settings)
    run(root, ["train", "evaluate", overlay], **settings)
    images = [case["image"] for case in flow.parser.get_parsed_content("split")["test"]]
    run(root, ["inference", overlay], "infer", datalist=images, device=SHORT["device"], **sizes)
    assert len(list((root / "eval").rglob("*_trans.nii.gz"))) == len(images)

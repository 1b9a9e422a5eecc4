# SPDX-License-Identifier: Apache-2.0
"""The bundles of PCL, WCL and SuperCL: the zoo's checks and every stage and variant on a small phantom."""

import csv
import traceback
from pathlib import Path

import pytest
import torch
from monai.networks.nets import BasicUNet
from workflows import SMALL, copy_bundle, run, workflow

from monai_cl_ext.data import write_phantom
from monai_cl_ext.methods import PCL, WCL, SuperCL

NAMES = ["pcl_segmentation", "wcl_segmentation", "supercl_segmentation"]
SMALL = {**SMALL, "batch_size": 4}
KINDS = {"pcl_segmentation": PCL, "wcl_segmentation": WCL, "supercl_segmentation": SuperCL}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder / "data", patients=9, seed=0)
    return folder / "data"


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, phantom) -> dict[str, Path]:
    """Each bundle after its pre-training."""
    roots = {name: copy_bundle(name, tmp_path_factory.mktemp(name)) for name in NAMES}
    for root in roots.values():
        run(root, ["pretrain"], dataset_dir=str(phantom), **SMALL)
    return roots


# files, metadata, configs


# the stages


@pytest.mark.parametrize("name", NAMES)
def test_pretraining_leaves_weights_curves_and_a_batch(name, pretrained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    root = pretrained[name]
    state = torch.load(root / "models" / "model_pretrain.pt", weights_only=True)
    assert set(state) == set(BasicUNet(2, 1, 4, features=[4, 8, 8, 8, 8, 4], norm="batch").state_dict())
    events = EventAccumulator(str(root / "eval" / "pretrain"))
    events.Reload()
    parts = {"wcl": ["train_view", "train_graph"], "supercl": ["train_instance", "train_intra", "train_inter"]}
    expected = {"train_loss", "partition_probe", "effective_rank_score", *parts.get(name.split("_")[0], [])}
    assert expected <= set(events.Tags()["scalars"])
    batch = torch.load(root / "eval" / "pretrain" / "batch.pt", weights_only=True)
    views = 4 if name.startswith("supercl") else 2
    assert len(batch["views"]) == views and batch["positive"].shape == (views * 4, views * 4)
    assert ("superpixels" in batch) == name.startswith("supercl")


@pytest.mark.parametrize("name", NAMES)
def test_finetuning_starts_from_the_encoder_that_was_pretrained_and_is_scored(name, pretrained, phantom):
    root = pretrained[name]
    path = root / "models" / "model_pretrain.pt"
    settings = {"dataset_dir": str(phantom), "pretrained": str(path), "seed": 1, **SMALL}
    state = workflow(root, ["train"], **settings).parser.get_parsed_content("network").state_dict()
    before = torch.load(path, weights_only=True)
    encoder = [key for key in before if key.startswith(("conv_0", "down_"))]
    assert all(torch.equal(state[key], before[key]) for key in encoder)
    assert not torch.equal(state["upcat_4.convs.conv_0.conv.weight"], before["upcat_4.convs.conv_0.conv.weight"])
    run(root, ["train"], **settings)
    run(root, ["train", "evaluate"], **settings)
    with open(root / "eval" / "metrics.csv") as file:
        assert len(list(csv.DictReader(file))) == 2 * 3
    sizes = {key: SMALL[key] for key in ("device", "image_size", "pixdim", "network_def#features")}
    run(root, ["inference"], "infer", dataset_dir=str(phantom / "imagesTr"), **sizes)
    assert len(list((root / "eval").rglob("*_trans.nii.gz"))) == 9


@pytest.mark.parametrize("overlays, parts, kind", [
    (["no_ilcp"], {"inter"}, PCL), (["no_igcp"], {"intra"}, PCL), (["no_ilcp", "no_igcp"], set(), PCL),
    (["instance_wcl"], {"intra", "inter"}, WCL), (["instance_wcl", "no_igcp"], {"intra"}, WCL),
    (["instance_view", "no_ilcp", "no_igcp"], set(), PCL), (["instance_partition"], {"intra", "inter"}, PCL),
    (["superpixels_per_view"], {"intra", "inter"}, PCL), (["network_pcl"], {"intra", "inter"}, PCL),
])  # fmt: skip
def test_ablations_are_overlays(overlays, parts, kind, phantom, tmp_path):
    root = copy_bundle("supercl_segmentation", tmp_path)
    small = {key: value for key, value in SMALL.items() if "network_pcl" not in overlays or "features" not in key}
    short = {**small, "epochs": 1, "batches_per_epoch": 1}
    flow = run(root, ["pretrain", *overlays], dataset_dir=str(phantom), **short)
    (losses,) = flow.trainer.state.output
    assert set(losses) == {"loss", "instance", *parts}
    method = flow.parser.get_parsed_content("method")
    assert type(method.instance) is kind
    positives = {"instance_view": "view", "instance_partition": "partition"}
    if kind is PCL:
        assert method.instance.positives == positives.get(overlays[0], "position")


@pytest.mark.parametrize("overlay", ["positives_view", "positives_partition"])
def test_pcl_contrasts_by_view_or_partition_too(overlay, phantom, tmp_path):
    root = copy_bundle("pcl_segmentation", tmp_path)
    flow = workflow(root, ["pretrain", overlay], dataset_dir=str(phantom), **SMALL)
    assert flow.parser.get_parsed_content("method").positives == overlay.removeprefix("positives_")


@pytest.mark.parametrize("name, change", [
    ("pcl_segmentation", {"threshold": 0.35}), ("pcl_segmentation", {"view_policy#rotation": 10.0}),
    ("wcl_segmentation", {"temperature": 0.2}), ("supercl_segmentation", {"intra_weight": 0.5}),
    ("supercl_segmentation", {"n_segments": 9}), ("supercl_segmentation", {"positives": "view"}),
    ("supercl_segmentation", {"spatial_policy#rotation": 10.0}), ("supercl_segmentation", {"level": -2}),
])  # fmt: skip
def test_a_changed_run_is_not_resumed(name, change, pretrained, phantom):
    settings = {"dataset_dir": str(phantom), "resume": True, **SMALL}
    root = pretrained[name]
    workflow(root, ["pretrain"], **settings)
    with pytest.raises(RuntimeError) as raised:
        workflow(root, ["pretrain"], **{**settings, **change})
    assert "was saved by a run with other settings" in "".join(traceback.format_exception(raised.value))

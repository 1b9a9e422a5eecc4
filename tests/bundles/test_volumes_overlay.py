# SPDX-License-Identifier: Apache-2.0
"""Every bundle of segmentation on 3D patches, by one overlay: pre-training, training, evaluation, inference."""

from pathlib import Path

import pytest
import torch
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import BasicUNet
from workflows import BUNDLES, check_served, copy_bundle, evaluated, message_of, parsed, read, run, served, workflow

from monai_cl_ext.csv_files import read_rows
from monai_cl_ext.data import MixedSlices, PatchDataset, write_phantom
from monai_cl_ext.transforms import Mirror

TINY = {
    "device": "$torch.device('cpu')",
    "image_size": [32, 16, 16],
    "pixdim": [6.0, 6.0, 6.0],
    "network_def#features": [4, 4, 8, 8, 8, 4],
    "validation_patients": 2,
    "test_patients": 2,
    "epochs": 1,
    "batches_per_epoch": 2,
    "log_interval": 1,
    "batch_size": 4,
}
SEGMENTATION = sorted(path.name for path in BUNDLES.glob("*_segmentation"))
TRAINED = [name for name in SEGMENTATION if not read(name, "metadata")["pretrain_stages"]]
PRETRAINED = [name for name in SEGMENTATION if name not in TRAINED]
OWN_SETTINGS = {
    "gcl_segmentation": {"volumes_per_batch": 1, "pixdim": [6.0, 6.0, 3.0]},
    "pretext_segmentation": {"image_size": [16, 16, 32]},
    "learned_augmentation_segmentation": {"image_size": [32, 32, 32]},
    "dira_segmentation": {"queue_size": 8, "swaps": 2, "patch": 0.25}, "moco_segmentation": {"queue_size": 8},
}  # fmt: skip


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom") / "data", patients=8, seed=0)


def network() -> BasicUNet:
    return BasicUNet(3, 1, 4, features=TINY["network_def#features"], norm="batch")


@pytest.mark.parametrize("name", SEGMENTATION)
def test_the_overlays_own_sizes_serve_every_bundle(name):
    metadata = read(name, "metadata")
    stage = [*metadata["pretrain_stages"], *metadata["train_stages"]][0]
    parser = parsed(name, stage, "volumes", **{key: TINY[key] for key in ("device", "network_def#features")})
    parser.get_parsed_content("module")  # which refuses a network for slices, or for patches of other sizes
    sizes = [policy.size or (64, 64, 64) for policy in parser.get_parsed_content("train#views").policies]
    local_crops = 4 if name in ("dino_segmentation", "swav_segmentation") else 0
    assert sizes[len(sizes) - local_crops :] == [(32, 32, 32)] * local_crops
    assert {*sizes[: len(sizes) - local_crops]} == {(64, 64, 64)}


@pytest.mark.parametrize("network", ["network_gcl", "network_pcl", "network_res_enc"])
def test_networks_of_slices_and_volumes_have_the_dimensions_of_the_run(network):
    for overlays, dims in (([], 2), (["volumes"], 3)):
        parser = parsed("simclr_segmentation", "train", *overlays, network)
        parser["network_def"]["_mode_"] = "callable"
        assert parser.get_parsed_content("network_def").keywords["spatial_dims"] == dims


def test_local_crops_of_flat_patches_are_half_of_each_side_and_no_less_than_a_network_takes():
    for size, expected in (([96, 64, 16], (48, 32, 16)), (48, (24, 24, 24))):
        policies = parsed("dino_segmentation", "pretrain", "volumes", image_size=size).get_parsed_content("policies")
        assert [policy.size for policy in policies[2:]] == [expected] * 4


@pytest.mark.parametrize("overlays, axis", [([], 1), (["volumes"], 0)])
def test_fine_tuning_mirrors_volumes_within_their_slices(overlays, axis):
    augmentation = parsed("simclr_segmentation", "train", *overlays).get_parsed_content("augmentation")
    assert [each.axes for each in augmentation.operations if isinstance(each, Mirror)] == [(axis,)]


@pytest.mark.parametrize("name", PRETRAINED)
def test_pretraining_leaves_the_weights_of_the_stock_3d_network(name, phantom, tmp_path):
    root = copy_bundle(name, tmp_path)
    for stage in read(name, "metadata")["pretrain_stages"]:
        settings = {**TINY, **OWN_SETTINGS.get(name, {})}
        flow = run(root, [stage, "volumes"], dataset_dir=str(phantom), **settings)
        dataset = flow.parser.get_parsed_content("train#dataset")
        assert isinstance(dataset, PatchDataset) and dataset[0]["image"].shape == (1, *settings["image_size"])
        assert len(flow.parser.get_parsed_content("validate#dataset")) == 16 * settings["validation_patients"]
        assert flow.parser.get_parsed_content("validate#dataloader").batch_size == 4
        state = torch.load(root / "models" / f"model_{stage}.pt", weights_only=True)
        network().load_state_dict(state, strict=True)
        start = flow.parser.get_parsed_content("method").predictor.state_dict()
        assert all(torch.equal(value, start[key]) for key, value in state.items())


@pytest.mark.parametrize("name", TRAINED)
def test_training_evaluation_and_inference_of_volumes(name, phantom, tmp_path):
    root = copy_bundle(name, tmp_path)
    settings = {"dataset_dir": str(phantom), **TINY, "labelled_patients": 2, **OWN_SETTINGS.get(name, {})}
    for stage in read(name, "metadata")["train_stages"]:
        flow = run(root, [stage, "volumes"], **settings)
    network().load_state_dict(torch.load(root / "models" / "model.pt", weights_only=True), strict=True)
    assert isinstance(flow.parser.get_parsed_content("validate#inferer"), SlidingWindowInferer)
    assert all(torch.isfinite(value) for value in flow.trainer.state.output[0].values())
    dataset = flow.parser.get_parsed_content("train#dataset")
    if isinstance(dataset, MixedSlices):
        parts = (dataset.labelled, dataset.unlabelled)
        assert [len(part) / len(part.files) for part in parts] == [1000, 16]
    if name in ("supervised_segmentation", "bcp_segmentation"):
        served_as_evaluated(root, phantom, settings)


def served_as_evaluated(root: Path, phantom: Path, settings: dict) -> None:
    """What inference writes is what evaluation scored, on the grid of the file."""
    predictions = evaluated(root, ["volumes"], **settings)
    rows = read_rows(root / "eval" / "metrics.csv")
    assert len(rows) == len(predictions) * 3 and all(0 <= float(row["dice"]) <= 1 for row in rows)
    sizes = {key: settings[key] for key in ("device", "image_size", "pixdim", "network_def#features")}
    check_served(predictions, served(root, ["volumes"], root / "served", datalist=list(predictions), **sizes))


@pytest.mark.parametrize("name, stage", [
    ("simclr_segmentation", "pretrain"), ("bcp_segmentation", "train"), ("cps_segmentation", "train")
])  # fmt: skip
@pytest.mark.parametrize("dims, told", [(2, "add configs/volumes.json"), (3, "leave out configs/volumes.json")])
def test_a_network_of_other_dimensions_is_refused(name, stage, dims, told, phantom, tmp_path):
    root = copy_bundle(name, tmp_path)
    configs = [stage] if dims == 2 else [stage, "volumes"]
    size = {"image_size": [32, 32], "pixdim": [6.0, 6.0]} if dims == 2 else {}
    labels = {"labelled_patients": 2} if stage == "train" else {}
    settings = {**TINY, **size, **labels, "network_def#spatial_dims": 5 - dims}
    with pytest.raises(RuntimeError) as raised:
        workflow(root, configs, dataset_dir=str(phantom), **settings)
    assert told in message_of(raised)


def test_an_image_size_of_two_numbers_is_refused(phantom, tmp_path):
    root = copy_bundle("supervised_segmentation", tmp_path)
    with pytest.raises(RuntimeError) as raised:
        workflow(root, ["train", "volumes"], dataset_dir=str(phantom), **{**TINY, "image_size": [32, 32]})
    assert "image_size must be one number, or three" in message_of(raised)


@pytest.mark.parametrize("bundle, configs, told", [
    ("gcl_segmentation", ["pretrain_global"], "none of 4 volume(s) has places for a patch in 4 partitions"),
    ("pretext_segmentation", ["train", "self_training"], "train with a method that predicts as it trains"),
])  # fmt: skip
def test_what_patches_cannot_serve_is_refused(bundle, configs, told, phantom, tmp_path):
    """Volumes no longer than a patch have one partition of four; predicted labels belong to slices."""
    root = copy_bundle(bundle, tmp_path)
    settings = {**TINY, "image_size": [32, 16, 64], "volumes_per_batch": 1, "labelled_patients": 2}
    with pytest.raises(RuntimeError) as raised:
        workflow(root, [*configs, "volumes"], dataset_dir=str(phantom), **settings)
    assert told in message_of(raised)


@pytest.mark.slow
def test_simtriplets_patches_are_pairs_of_neighbors(phantom, tmp_path):
    root = copy_bundle("simtriplet_segmentation", tmp_path)
    flow = workflow(root, ["pretrain", "volumes"], dataset_dir=str(phantom), **TINY)
    for batch in flow.parser.get_parsed_content("train#sampler"):
        assert all(second == first + 1 for first, second in zip(batch[::2], batch[1::2], strict=True))

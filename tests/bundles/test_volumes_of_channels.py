# SPDX-License-Identifier: Apache-2.0
"""Volumes of four channels, and CT in Hounsfield units, by one setting each through every stage of a bundle."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import (
    Compose,
    NormalizeIntensityd,
    ScaleIntensityRanged,
    ScaleIntensityRangePercentiles,
    ScaleIntensityRangePercentilesd,
)
from workflows import (
    SMALL,
    check_served,
    copy_bundle,
    evaluated,
    message_of,
    parsed,
    refuse_this_package,
    run,
    served,
    workflow,
)

from monai_cl_ext.bundles import bundle_names
from monai_cl_ext.data import find_cases, intensity_scaling, volume_transform, write_phantom

NAME = "simclr_segmentation"
FOUR = {"in_channels": 4}
SERVED = ("device", "image_size", "pixdim", "network_def#features")
STAGES = ["pretrain", "train", "inference"]


@pytest.fixture(scope="module")
def volumes(tmp_path_factory) -> dict[str, Path]:
    """The same four channels as 4-D files and as a file a channel."""
    folder = tmp_path_factory.mktemp("four")
    both = {"4d": False, "files": True}
    return {
        name: write_phantom(folder / name, patients=7, seed=2, channels=4, channel_files=files)
        for name, files in both.items()
    }


@pytest.fixture(scope="module")
def ct(tmp_path_factory) -> Path:
    """Phantoms in Hounsfield units: air at -1000, tissues within some hundreds, metal far above."""
    folder = write_phantom(tmp_path_factory.mktemp("ct") / "data", patients=7, seed=3, channels=2)
    for path in sorted((folder / "imagesTr").glob("*.nii.gz")):
        image = nib.load(path)
        values = np.asarray(image.dataobj)[..., 0].astype(float)
        units = np.where(values == 0, -1000, -150 + 400 * values / np.quantile(values, 0.99))
        units[:3, :3] = 3000
        nib.save(nib.Nifti1Image(units.astype(np.int16), image.affine), path)
    return folder


def all_stages(root: Path, data: Path, overlays: list[str], **given) -> dict[str, np.ndarray]:
    """Pre-trains, trains and evaluates; the prediction of each test volume by the name of its file."""
    settings = {**SMALL, "epochs": 1, "dataset_dir": str(data), "batch_size": 4, **given}
    run(root, ["pretrain", *overlays], **settings)
    longer = {"epochs": 2, "batches_per_epoch": 40, "learning_rate": 0.01}
    start = f"{root}/models/model_pretrain.pt"
    run(root, ["train", *overlays], **{**settings, **longer}, pretrained=start)
    predictions = evaluated(root, overlays, **settings)
    assert len(predictions) == 2
    assert any(len(np.unique(prediction)) > 1 for prediction in predictions.values())  # equal is not equally empty
    return predictions


def written(root: Path, data: Path, overlays: list[str], output: Path, **given) -> dict[str, nib.Nifti1Image]:
    """What inference writes of all volumes."""
    settings = {**{name: SMALL[name] for name in SERVED}, "dataset_dir": str(data / "imagesTr"), **given}
    return served(root, overlays, output, **settings)


PATCHES = {"image_size": [32, 16, 16], "pixdim": [6.0, 6.0, 6.0]}


@pytest.mark.parametrize("layout, overlays, given", [
    ("4d", [], {}), ("files", [], {"nonzero": True, "channel_wise": True}),
    pytest.param("4d", ["volumes"], {"nonzero": True, "channel_wise": True, **PATCHES}, marks=pytest.mark.slow),
    pytest.param("files", ["volumes"], PATCHES, marks=pytest.mark.slow),
])  # fmt: skip
def test_four_channels_pass_all_stages_and_are_served_as_they_were_scored(
    layout, overlays, given, volumes, tmp_path, monkeypatch
):
    root, data = copy_bundle(NAME, tmp_path), volumes[layout]
    predictions = all_stages(root, data, overlays, **FOUR, **given)
    kernel = torch.load(root / "models" / "model.pt")["conv_0.conv_0.conv.weight"].shape[1:]
    assert kernel == (4, *[3] * (3 if overlays else 2))
    shared = {name: value for name, value in given.items() if name != "channel_wise"}
    here = written(root, data, overlays, tmp_path / "here", **FOUR, **shared)
    assert len(here) == 7
    refuse_this_package(monkeypatch)
    alone = written(root, data, overlays, tmp_path / "alone", **FOUR, **shared)
    assert alone.keys() == here.keys()
    check_served(predictions, here, alone)


def test_ct_is_windowed_alike_in_every_stage(ct, tmp_path):
    root, window = copy_bundle(NAME, tmp_path), {"window": [-100, 250]}
    predictions = all_stages(root, ct, [], **window)
    check_served(predictions, written(root, ct, [], tmp_path / "here", **window))
    flow = workflow(root, ["train"], **SMALL, dataset_dir=str(ct), **window)
    rows = [flow.parser.get_parsed_content("train#dataset")[place]["image"] for place in range(4)]
    assert min(row.min() for row in rows) == 0 and max(row.max() for row in rows) == 1


@pytest.mark.parametrize("given, found", [({}, 4), ({"in_channels": 3}, 4), ({"in_channels": 2}, 1)])
def test_other_channels_than_the_network_takes_are_told_with_the_remedy(given, found, volumes, ct, tmp_path):
    data, expected = volumes["4d"] if found == 4 else ct, given.get("in_channels", 1)
    root = copy_bundle(NAME, tmp_path)
    for stage in ("pretrain", "train"):
        with pytest.raises(RuntimeError) as raised:
            workflow(root, [stage], **SMALL, dataset_dir=str(data), **given)
        told = message_of(raised)
        assert f".nii.gz: found {found} channel(s), expected {expected}; give --in_channels {found} to every" in told


def test_weights_of_one_channel_do_not_fit_a_network_of_four(volumes, ct, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    run(root, ["pretrain"], **SMALL, dataset_dir=str(ct), batch_size=4)
    with pytest.raises(RuntimeError) as raised:
        start = {"pretrained": f"{root}/models/model_pretrain.pt"}
        workflow(root, ["train"], **SMALL, dataset_dir=str(volumes["4d"]), **FOUR, **start)
    told = message_of(raised)
    assert "model_pretrain.pt does not fit BasicUNet" in told and "(4, 1, 3, 3) for (4, 4, 3, 3)" in told


def scaling(stage: str, **given) -> Compose:
    return parsed(NAME, stage, **given).get_parsed_content("scale_intensities")


def image_of(channels: int) -> torch.Tensor:
    image = torch.rand(channels, 9, 8, 7, generator=torch.Generator().manual_seed(0)) * 900 - 200
    return image * 10.0 ** torch.arange(channels).reshape(-1, 1, 1, 1) * (image > 0)


@pytest.mark.parametrize("given, kind", [
    ({}, ScaleIntensityRangePercentilesd), ({"nonzero": True}, NormalizeIntensityd),
    ({"window": [-160, 240]}, ScaleIntensityRanged),
])  # fmt: skip
def test_one_setting_chooses_the_scaling_of_all_stages_and_of_volume_transform(given, kind):
    image = image_of(4)
    expected = intensity_scaling("image", **given)({"image": image.clone()})["image"]
    assert isinstance(intensity_scaling("image", **given), kind)
    assert isinstance(volume_transform(**given).transforms[1], kind)
    for stage in STAGES:
        (step,) = scaling(stage, **given).transforms
        assert isinstance(step, kind)
        assert torch.equal(scaling(stage, **given)({"image": image.clone()})["image"], expected)


def test_channels_are_scaled_each_by_its_own_numbers():
    image = image_of(3)
    for name, given, oracle in (
        ("percentiles", {}, lambda x: (x - np.percentile(x, 1)) / (np.percentile(x, 99) - np.percentile(x, 1))),
        ("nonzero", {"nonzero": True}, lambda x: np.where(x != 0, (x - x[x != 0].mean()) / x[x != 0].std(), 0)),
        ("window", {"window": (-160, 240)}, lambda x: ((x + 160) / 400).clip(0, 1)),
    ):
        found = intensity_scaling("image", **given)({"image": image.clone()})["image"].numpy()
        for channel in range(3):
            expected = oracle(image[channel].double().numpy())
            np.testing.assert_allclose(found[channel], expected, rtol=1e-4, atol=1e-4, err_msg=name)


def test_one_channel_is_scaled_as_before_to_the_bit():
    image = image_of(1)
    before = ScaleIntensityRangePercentiles(1, 99, 0.0, 1.0, clip=False)(image.clone())
    assert torch.equal(scaling("train")({"image": image.clone()})["image"], before)
    assert torch.equal(volume_transform().transforms[1]({"image": image.clone()})["image"], before)


@pytest.mark.parametrize("given", [{}, {"nonzero": True}, {"window": [0, 100]}])
def test_a_channel_of_one_intensity_becomes_a_finite_constant(given):
    image = image_of(4)
    image[1], image[2] = 7.5, 0.0
    found = intensity_scaling("image", **given)({"image": image})["image"]
    assert torch.isfinite(found).all()
    assert all(channel.amin() == channel.amax() for channel in found[1:3])
    assert all(channel.amin() < channel.amax() for channel in (found[0], found[3]))


@pytest.mark.parametrize("given, told", [
    ({"window": [240, -160]}, "two numbers, the lower one first"), ({"window": [1, 1]}, "two numbers"),
    ({"window": [0, 1, 2]}, "two numbers"), ({"window": "CT"}, "two numbers"), ({"window": [None, 3]}, "two numbers"),
    ({"window": [0, 9], "nonzero": True}, "expected one of them at most, found both"),
])  # fmt: skip
def test_settings_that_contradict_are_refused_in_every_stage(given, told):
    with pytest.raises(ValueError, match=told):
        volume_transform(**given)
    for stage in STAGES:
        with pytest.raises(RuntimeError) as raised:
            scaling(stage, **given)
        assert told in message_of(raised)


SEGMENTING = [name for name in bundle_names() if name.endswith("_segmentation")]


@pytest.mark.parametrize("name", SEGMENTING)
def test_every_network_and_gate_of_a_bundle_takes_the_channels(name):
    metadata = parsed(name, "metadata")
    overlays = [[], *([overlay] for overlay in metadata["overlays"] if overlay.startswith("network_"))]
    assert len(overlays) > 6
    for stage in (*metadata["pretrain_stages"], "train", "inference"):
        for overlay in overlays:
            given = {"in_channels": 3, **({"pretrained": ""} if stage != "inference" else {})}
            parser = parsed(name, stage, *overlay, **given)
            network = parser.get_parsed_content("network_def")
            assert next(network.parameters()).shape[1] == 3
        part = "preprocessing" if stage == "inference" else "train#preprocessing"
        gates = parser.get_parsed_content(part).transforms
        assert gates[0].channels == 3
        if stage != "inference":
            assert parser.get_parsed_content("validate#preprocessing").transforms[0].channels == 3
            views = parsed(name, stage, channel_wise=True)["train#views"]
            assert views["channel_wise"] == "@channel_wise"


@pytest.mark.parametrize("name, stage, given", [
    ("pretext_segmentation", "pretrain", {"pretext": "inpainting"}), ("dira_segmentation", "pretrain_dir", {}),
])  # fmt: skip
def test_what_restores_images_restores_all_channels(name, stage, given, volumes, tmp_path):
    root = copy_bundle(name, tmp_path)
    run(root, [stage], **{**SMALL, "epochs": 1}, dataset_dir=str(volumes["4d"]), **FOUR, **given, batch_size=4)
    assert (root / "models" / f"model_{stage}.pt").is_file()


def test_standardized_images_are_not_clipped_at_their_mean():
    for name, stage in (("gcl_segmentation", "pretrain_global"), ("wcl_segmentation", "pretrain")):
        kinds = [
            [type(each).__name__ for each in parsed(name, stage, **given).get_parsed_content("view_policy").operations]
            for given in ({}, {"nonzero": True})
        ]
        assert "ClampIntensity" in kinds[0] and "ClampIntensity" not in kinds[1]


def test_files_of_channels_are_grouped_and_other_files_are_not(volumes, tmp_path):
    def listed(folder: Path, channels: int) -> list:
        return parsed(NAME, "inference", dataset_dir=str(folder), in_channels=channels).get_parsed_content("datalist")

    found = listed(volumes["files"] / "imagesTr", 4)
    assert [case["image"] for case in find_cases(volumes["files"])] == found
    assert all(isinstance(path, str) for path in listed(volumes["4d"] / "imagesTr", 4))
    assert len(listed(volumes["files"] / "imagesTr", 1)) == 28
    for name in ("a_1_0000", "a_1_0001", "a_0000", "a_0001", "b_0000"):  # b lacks a channel, which its error tells
        shutil.copy(volumes["4d"] / "imagesTr" / "patient001_frame01.nii.gz", tmp_path / f"{name}.nii.gz")
    names = [[Path(path).name.removesuffix(".nii.gz") for path in group] for group in listed(tmp_path, 2)]
    assert sorted(names) == [["a_0000", "a_0001"], ["a_1_0000", "a_1_0001"], ["b_0000"]]
    four_d = listed(tmp_path, 3)  # none has as many files: they are 4-D
    assert four_d == [case["image"] for case in find_cases(tmp_path, patient_pattern="(.*)")] and len(four_d) == 5
    (tmp_path / "c.nii.gz").touch()
    assert all(isinstance(path, str) for path in listed(tmp_path, 2))

# SPDX-License-Identifier: Apache-2.0
"""What an evaluation keeps for the report: embeddings, and a picture of each volume."""

import nibabel as nib
import numpy as np
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from PIL import Image

from monai_cl_ext.data import LoadCased
from monai_cl_ext.handlers import EmbeddingRecord, OverlayRecord


def evaluator(outputs, record, epochs=1) -> Engine:
    engine = Engine(lambda engine, batch: batch)
    record.attach(engine)
    engine.run(outputs, max_epochs=epochs)
    return engine


def rows(start: int, count: int) -> dict:
    numbers = torch.arange(start, start + count)
    return {"embeddings": numbers[:, None] * torch.ones(1, 3), "volume": numbers, "position": numbers / 10,
            "partition": numbers % 4}  # fmt: skip


def test_embeddings_of_the_last_epoch_are_kept(tmp_path):
    evaluator([rows(0, 4), rows(4, 2)], EmbeddingRecord(str(tmp_path / "new")), epochs=2)
    kept = torch.load(tmp_path / "new" / "embeddings.pt", weights_only=True)
    assert set(kept) == {"embeddings", "volume", "position", "partition"}
    assert kept["volume"].tolist() == [0, 1, 2, 3, 4, 5]
    assert kept["embeddings"][:, 0].tolist() == [0, 1, 2, 3, 4, 5]


def volume(folder, name, shape=(30, 24, 6), boxes=((3, 5),)) -> tuple[MetaTensor, torch.Tensor]:
    """A file whose label fills ``size`` x ``size`` pixels from (4, 6) in each (slice, size) of ``boxes``."""
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    nib.save(nib.Nifti1Image(image, np.diag([2.0, 1.5, 8.0, 1.0])), folder / f"{name}.nii.gz")
    label = torch.zeros(1, *shape)
    for index, size in boxes:
        label[0, 4 : 4 + size, 6 : 6 + size, index] = 2
    return MetaTensor(torch.zeros(1, 8, 8, 6), meta={"filename_or_obj": str(folder / f"{name}.nii.gz")}), label


def test_the_slice_with_the_largest_label_is_cut_around_the_masks(tmp_path):
    image, label = volume(tmp_path, "a", boxes=((1, 3), (4, 8), (5, 2)))
    prediction = label.clone()
    prediction[0, 12, 6:14, 4] = 1  # the masks of slice 4 reach from 4 to 12, and from 6 to 13
    output = [{"image": image, "label": MetaTensor(label), "pred": MetaTensor(prediction)}]
    evaluator([output], OverlayRecord(str(tmp_path / "run"), class_names=["x", "y"]))
    kept = torch.load(tmp_path / "run" / "overlays.pt", weights_only=True)
    assert kept["class_names"] == ["x", "y"]
    (overlay,) = kept["overlays"]
    assert overlay["volume"] == "a" and overlay["slice"] == 4 and overlay["spacing"] == [2.0, 1.5]
    side = 15  # 1.7 of 9
    first, second = slice(1, 1 + side), slice(2, 2 + side)
    assert torch.equal(overlay["label"], label[0, first, second, 4].byte())
    assert torch.equal(overlay["prediction"], prediction[0, first, second, 4].byte())
    file = nib.load(tmp_path / "a.nii.gz").get_fdata()[..., 4]
    low, high = np.percentile(file, (1, 99))
    expected = (np.clip((file - low) / (high - low), 0, 1) * 255)[first, second]
    np.testing.assert_allclose(overlay["image"].numpy(), expected, atol=1.01)


def test_other_axes_edges_and_empty_masks(tmp_path):
    image, label = volume(tmp_path, "b", shape=(20, 10, 20), boxes=((9, 4),))
    outputs = [[{"image": image, "label": label, "pred": label}]]
    evaluator(outputs, OverlayRecord(str(tmp_path / "run"), slice_axis=1))
    (overlay,) = torch.load(tmp_path / "run" / "overlays.pt", weights_only=True)["overlays"]
    assert overlay["spacing"] == [2.0, 8.0] and overlay["label"].shape == (7, 7)
    assert overlay["label"].sum() == 2 * label[0, :, overlay["slice"]].bool().sum()

    empty = torch.zeros_like(label)
    evaluator([[{"image": image, "label": empty, "pred": empty}]], OverlayRecord(str(tmp_path / "run")))
    (overlay,) = torch.load(tmp_path / "run" / "overlays.pt", weights_only=True)["overlays"]
    assert overlay["image"].shape == (20, 10)


def test_a_volume_on_another_grid_is_left_out(tmp_path):
    image, label = volume(tmp_path, "c")
    other = torch.zeros(1, 8, 8, 6)
    outputs = [[{"image": image, "label": other, "pred": other}]]
    evaluator(outputs, OverlayRecord(str(tmp_path / "run")))
    assert torch.load(tmp_path / "run" / "overlays.pt", weights_only=True)["overlays"] == []


def test_a_volume_that_is_a_folder_of_pictures_is_drawn(tmp_path):
    folder = tmp_path / "patient"
    folder.mkdir()
    pictures = np.random.default_rng(0).integers(0, 255, (6, 20, 30), dtype=np.uint8)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number}.png")
    image = LoadCased(["image"])({"image": str(folder)})["image"]
    label = torch.zeros(1, *image.shape[1:])
    label[0, 4:9, 6:11, 2] = 1
    evaluator([[{"image": image, "label": label, "pred": label}]], OverlayRecord(str(tmp_path / "run")))
    (overlay,) = torch.load(tmp_path / "run" / "overlays.pt", weights_only=True)["overlays"]
    assert overlay["slice"] == 2 and overlay["label"].sum() == 25

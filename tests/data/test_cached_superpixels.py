# SPDX-License-Identifier: Apache-2.0
"""Superpixels are computed once for each slice as it is served, and kept in few bytes."""

import pickle
import threading

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch.utils.data import DataLoader

from monai_cl_ext.data import SliceDataset, volume_transform
from monai_cl_ext.transforms import Superpixel, batched_slic


def volume(folder, name="p", shape=(24, 20, 6), seed=0):
    voxels = np.random.default_rng(seed).random(shape).astype(np.float32)
    voxels[..., -1] = 0  # a slice without content, as padding at a volume's end
    path = folder / f"{name}.nii.gz"
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
    return {"image": str(path)}


def dataset(data, superpixels, **arguments):
    return SliceDataset(
        data, volume_transform(image_size=(20, 24)), superpixels=superpixels, progress=False, **arguments
    )


def levels(image):
    """A map that any change of the image shows in, as int64."""
    return (image[:1] * 50).round().long().clamp_min(0)


def test_maps_are_those_of_the_slices_that_are_served(tmp_path):
    slices = dataset([volume(tmp_path, f"p{seed}", seed=seed) for seed in range(3)], levels)
    for item in (slices[i] for i in range(len(slices))):
        assert item["superpixel"].dtype == torch.int32 and item["superpixel"].shape == (1, 20, 24)
        assert torch.equal(item["superpixel"], levels(item["image"]).int())
    batch = next(iter(DataLoader(slices, batch_size=4)))["superpixel"]
    assert batch.shape == (4, 1, 20, 24) and batch.dtype == torch.int32


def test_each_slice_is_mapped_once_in_the_threads_that_prepare_volumes(tmp_path):
    seen = []

    def count(image):
        seen.append((threading.current_thread() is threading.main_thread(), tuple(image.shape), image.dtype))
        return levels(image)

    slices = dataset([volume(tmp_path, f"p{seed}", seed=seed) for seed in range(2)], count, workers=2)
    for _ in range(2):
        list(DataLoader(slices, batch_size=4))
    assert seen == [(False, (1, 20, 24), torch.float32)] * 12


@pytest.mark.parametrize("highest, bytes_a_pixel", [(255, 1), (256, 2), (32767, 2), (32768, 4)])
def test_memory_is_as_small_as_the_numbers_allow(highest, bytes_a_pixel, tmp_path):
    numbers = iter([highest, *[3] * 11])
    data = [volume(tmp_path, f"p{seed}", seed=seed) for seed in range(2)]
    plain = dataset(data, None)
    slices = dataset(data, lambda image: torch.full((1, 20, 24), next(numbers)), workers=1)
    extra = len(pickle.dumps(slices)) - len(pickle.dumps(plain))
    assert extra == pytest.approx(bytes_a_pixel * 2 * 6 * 24 * 20, abs=500)
    assert [int(slices[i]["superpixel"].max()) for i in range(12)] == [highest, *[3] * 11]
    assert slices[0]["superpixel"].dtype == torch.int32


def test_changing_a_map_leaves_the_dataset_alone(tmp_path):
    for highest in (5, 70000):
        slices = dataset([volume(tmp_path)], lambda image, highest=highest: torch.full((1, 20, 24), highest))
        slices[0]["superpixel"].zero_()
        assert (slices[0]["superpixel"] == highest).all()


def test_without_a_function_there_is_no_map(tmp_path):
    assert "superpixel" not in dataset([volume(tmp_path)], None)[0]


def test_the_transforms_of_this_package_serve(tmp_path):
    data = [volume(tmp_path)]
    for superpixels in (Superpixel(n_segments=12, backend="torch"), lambda image: batched_slic(image[None], 12)):
        slices = dataset(data, superpixels)
        counts = [int(slices[i]["superpixel"].max()) + 1 for i in range(6)]
        assert all(6 <= count <= 24 for count in counts), counts
    assert torch.equal(slices[2]["superpixel"], batched_slic(slices[2]["image"][None], 12))


def test_scikit_image_serves_slices_without_content(tmp_path):
    pytest.importorskip("skimage")
    slices = dataset([volume(tmp_path)], Superpixel(n_segments=12))
    assert slices[5]["image"].unique().numel() == 1
    assert slices[5]["superpixel"].max() > 0 and slices[5]["superpixel"].min() == 0


def test_a_metatensor_or_an_array_is_as_good(tmp_path):
    data, expected = [volume(tmp_path)], dataset([volume(tmp_path)], levels)[3]["superpixel"]
    for found in (
        dataset(data, lambda image: MetaTensor(levels(image))),
        dataset(data, lambda image: levels(image).numpy()),
        dataset(data, lambda image: levels(image).to(torch.uint8)),
    ):
        assert type(found[3]["superpixel"]) is torch.Tensor and torch.equal(found[3]["superpixel"], expected)


@pytest.mark.parametrize("wrong, found", [
    (lambda image: image, r"torch\.float32 \(1, 20, 24\) for slice 0"),
    (lambda image: image > 0, r"torch\.bool"),
    (lambda image: levels(image)[0], r"torch\.int64 \(20, 24\)"),
    (lambda image: levels(image) - 1, "from -1 on"),
    (lambda image: levels(image)[:, :0], r"torch\.int64 \(1, 0, 24\)"),
])  # fmt: skip
def test_maps_that_are_none_name_the_file(wrong, found, tmp_path):
    with pytest.raises(ValueError, match=rf"p\.nii\.gz: superpixels must .*{found}"):
        dataset([volume(tmp_path)], wrong)


def test_a_failing_function_names_the_file_and_the_slice(tmp_path):
    def fails(image):
        return levels(image) if image.any() else 1 / 0

    with pytest.raises(ValueError, match=r"p\.nii\.gz: superpixels of slice 5 failed \(ZeroDivisionError"):
        dataset([volume(tmp_path)], fails)


def test_a_constant_volume_is_dropped_before_its_maps_are_asked_for(tmp_path):
    flat = tmp_path / "flat.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((24, 20, 6), np.float32), np.eye(4)), flat)
    with pytest.warns(UserWarning, match="flat"):
        assert len(dataset([{"image": str(flat)}, volume(tmp_path)], levels)) == 6

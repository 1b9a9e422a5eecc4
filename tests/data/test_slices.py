# SPDX-License-Identifier: Apache-2.0
"""Slices equal what stock MONAI makes of the volume; bad volumes are named."""

import pickle
import time
import warnings

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, LoadImaged, RandFlipd, Resized
from torch.utils.data import DataLoader

from monai_cl_ext.data import SliceDataset, find_cases, volume_transform

PLAIN = Compose([LoadImaged(["image", "label"], image_only=True, ensure_channel_first=True, allow_missing_keys=True)])


def save(path, voxels, spacing=(1.4, 1.4, 9.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, np.diag([-spacing[0], spacing[1], spacing[2], 1.0])), path)
    return str(path)


def case(folder, name, shape=(12, 10, 8), seed=0, labelled=True, dtype=np.float32):
    generator = np.random.default_rng(seed)
    image = (generator.random(shape) * 100).astype(dtype)
    found = {"image": save(folder / "images" / f"{name}.nii.gz", image), "patient": name}
    if labelled:
        label = generator.integers(0, 4, shape).astype(np.uint8)
        found["label"] = save(folder / "labels" / f"{name}.nii.gz", label)
    return found


def voxels(path):
    return np.asarray(nib.load(path).dataobj)


def dataset(data, transform=None, **arguments):
    return SliceDataset(data, transform, progress=False, **arguments)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_items_are_the_slices_of_the_file_along_the_axis(axis, tmp_path):
    shapes = [[6, 6, 6], [6, 6, 6]]
    for shape, n in zip(shapes, (5, 9), strict=True):
        shape[axis] = n
    data = [case(tmp_path, f"p{i}", tuple(shape), seed=i) for i, shape in enumerate(shapes)]
    slices = dataset(data, PLAIN, slice_axis=axis)
    assert len(slices) == 14
    index = 0
    for v, (item, n) in enumerate(zip(data, (5, 9), strict=True)):
        image, label = np.moveaxis(voxels(item["image"]), axis, 0), np.moveaxis(voxels(item["label"]), axis, 0)
        for i in range(n):
            found = slices[index]
            assert type(found["image"]) is torch.Tensor and found["image"].dtype == torch.float32
            np.testing.assert_array_equal(found["image"][0], image[i].astype(np.float16).astype(np.float32))
            assert type(found["label"]) is torch.Tensor and found["label"].dtype == torch.uint8
            np.testing.assert_array_equal(found["label"][0], label[i])
            assert (found["volume"], found["position"], found["partition"]) == (v, (i + 1) / n, i * 4 // n)
            assert type(found["volume"]) is type(found["partition"]) is int and type(found["position"]) is float
            assert slices.volume[index] == v and slices.position[index] == (i + 1) / n
            index += 1
    assert slices.volume.dtype == slices.partition.dtype == torch.int64 and slices.position.dtype == torch.float64
    assert slices.patients == ["p0", "p1"] and slices.files == [item["image"] for item in data]
    assert slices.spacings[0] == pytest.approx((1.4, 1.4, 9.0), rel=1e-5)
    with pytest.raises(IndexError):
        slices[14]


def test_a_batch_has_the_agreed_types(tmp_path):
    slices = dataset([case(tmp_path, "p")], PLAIN)
    batch = next(iter(DataLoader(slices, batch_size=3)))
    assert {key: (value.dtype, tuple(value.shape)) for key, value in batch.items()} == {
        "image": (torch.float32, (3, 1, 12, 10)), "label": (torch.uint8, (3, 1, 12, 10)),
        "volume": (torch.int64, (3,)), "position": (torch.float64, (3,)), "partition": (torch.int64, (3,))}  # fmt: skip


def test_changing_an_item_leaves_the_dataset_alone(tmp_path):
    slices = dataset([case(tmp_path, "p")], PLAIN)
    first = slices[0]
    kept = {key: first[key].clone() for key in ("image", "label")}
    first["image"].zero_()
    first["label"].fill_(9)
    assert torch.equal(slices[0]["image"], kept["image"]) and torch.equal(slices[0]["label"], kept["label"])


def test_the_default_preparation_written_out(tmp_path):
    item = case(tmp_path, "p", (12, 10, 8))
    slices = dataset([item])
    image = voxels(item["image"]).astype(np.float64)
    low, high = np.percentile(image, [1, 99])
    expected = (image - low) / (high - low)
    assert expected.min() < 0 and expected.max() > 1
    for i in range(8):
        np.testing.assert_allclose(slices[i]["image"][0], expected[..., i], atol=6e-4)


def test_resampling_and_padding_touch_the_plane_alone(tmp_path):
    item = case(tmp_path, "p", (20, 14, 8))
    prepared = volume_transform(image_size=(16, 12), pixdim=(2.8, 1.4))(item)
    assert prepared["image"].shape == prepared["label"].shape == (1, 16, 12, 8)
    assert prepared["image"].pixdim.tolist() == pytest.approx([2.8, 1.4, 9.0], rel=1e-5)
    rows = prepared["image"].as_tensor().abs().sum((0, 2, 3)) > 0
    assert rows[3:13].all() and not rows[:3].any() and not rows[13:].any()  # 10 rows after resampling, padded by 3
    assert set(prepared["label"].unique().tolist()) <= {0, 1, 2, 3}
    other = volume_transform(image_size=(16, 12), pixdim=(2.8, 9.0), slice_axis=1)(item)
    assert other["image"].shape == (1, 16, 14, 12)
    assert other["image"].pixdim.tolist() == pytest.approx([2.8, 1.4, 9.0], rel=1e-5)
    for wrong in ({"image_size": (16,)}, {"pixdim": (1.0, 1.0, 1.0)}, {"pixdim": (0, 1)}, {"slice_axis": 3}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            volume_transform(**wrong)


def test_each_volume_is_prepared_once(tmp_path):
    data = [case(tmp_path, f"p{i}", seed=i) for i in range(5)]
    seen = []

    def count(item):
        seen.append(item["patient"])
        return PLAIN(item)

    slices = dataset(data, count)
    for _ in range(2):
        for i in range(len(slices)):
            slices[i]
    assert sorted(seen) == [f"p{i}" for i in range(5)]


def test_the_number_of_threads_changes_nothing(tmp_path):
    data = [case(tmp_path, f"p{i}", (12, 10, 4 + i), seed=i) for i in range(6)]
    one, many = dataset(data, workers=1), dataset(data, workers=4)
    assert one.files == many.files
    assert all(torch.equal(one[i]["image"], many[i]["image"]) for i in range(len(one)))


def test_memory_is_two_bytes_a_pixel_and_one_a_label(tmp_path):
    slices = dataset([case(tmp_path, f"p{i}", seed=i) for i in range(3)])
    pixels = 3 * 12 * 10 * 8
    assert len(pickle.dumps(slices)) < 3 * pixels + 6000


@pytest.mark.slow
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_serve_the_same_slices(context, tmp_path):
    slices = dataset([case(tmp_path, f"p{i}", seed=i) for i in range(2)])
    loader = DataLoader(slices, batch_size=5, num_workers=1, multiprocessing_context=context)
    images = torch.cat([batch["image"] for batch in loader])
    assert torch.equal(images, torch.stack([slices[i]["image"] for i in range(len(slices))]))


def test_a_slice_is_served_in_less_than_a_third_of_a_millisecond(tmp_path):
    slices = dataset([case(tmp_path, "p", (192, 192, 16), dtype=np.int16)])
    fastest = min(_time(slices) for _ in range(5))
    print(f"{fastest * 1e6:.0f} us a slice of 192 x 192")
    assert fastest <= 0.3e-3


def _time(slices):
    start = time.perf_counter()
    for i in range(200):
        slices[i % 16]
    return (time.perf_counter() - start) / 200


def test_channels_of_a_volume_are_kept(tmp_path):
    image = np.random.default_rng(0).random((6, 5, 7, 2)).astype(np.float32)
    path = save(tmp_path / "images" / "p.nii.gz", image)
    label = save(tmp_path / "labels" / "p.nii.gz", np.ones((6, 5, 7), np.uint8))
    item = dataset([{"image": path, "label": label}], PLAIN)[3]
    np.testing.assert_allclose(item["image"], image[:, :, 3].transpose(2, 0, 1), atol=1e-3)
    assert item["label"].shape == (1, 6, 5)


# bad input


def test_nothing_to_read():
    with pytest.raises(ValueError, match="data: expected at least one volume"):
        dataset([])
    with pytest.raises(ValueError, match='expected an "image"'):
        dataset([{"label": "x"}])


def test_some_labels_are_not_enough(tmp_path):
    with pytest.raises(ValueError, match=r"1 case\(s\) have a label and 1 have none, .*b\.nii\.gz"):
        dataset([case(tmp_path, "a"), case(tmp_path, "b", labelled=False)])


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_a_truncated_file_is_named(suffix, tmp_path):
    good = case(tmp_path, "good")
    bad = tmp_path / f"bad{suffix}"
    save(bad, np.random.default_rng(0).random((12, 10, 8)))
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"^\S*bad{suffix}: .* (cut off|cannot hold).* download it again"):
        dataset([{"image": good["image"]}, {"image": str(bad)}])
    with pytest.raises(ValueError, match=rf"^\S*bad{suffix}: .* download it again"):
        dataset([good | {"label": str(bad)}])
    with pytest.raises(ValueError, match=rf"good.* or its label .*bad{suffix}: cannot be read or prepared"):
        dataset([good | {"label": str(bad)}], PLAIN)  # MONAI's reader


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.nii\.gz: found no such file"):
        dataset([{"image": str(tmp_path / "absent.nii.gz")}])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("transform", [None, PLAIN])
def test_nan_and_infinity_are_named(value, transform, tmp_path):
    image = np.random.default_rng(0).random((12, 10, 8)).astype(np.float32)
    image[3, 4, 5] = value
    path = save(tmp_path / "bad.nii.gz", image)
    with pytest.raises(ValueError, match=r"bad\.nii\.gz: \d+ voxel\(s\) are NaN or infinite"):
        dataset([case(tmp_path, "good", labelled=False), {"image": path}], transform)


def test_intensities_too_large_for_half_precision_are_named(tmp_path):
    path = save(tmp_path / "ct.nii.gz", np.random.default_rng(0).random((12, 10, 8)) * 1e6)
    with pytest.raises(ValueError, match=r"ct\.nii\.gz: intensities reach .*scale the intensities"):
        dataset([{"image": path}], PLAIN)
    dataset([{"image": path}])


@pytest.mark.parametrize("transform", [None, volume_transform(image_size=(16, 16)), PLAIN])
@pytest.mark.parametrize("bright", [0, 5])
def test_a_volume_of_nearly_one_intensity_is_dropped_with_a_warning(bright, transform, tmp_path):
    image = np.full((12, 10, 8), 7.0)
    image[:bright, 0, 0] = 900.0  # fewer than one voxel in a hundred: both percentiles are 7
    data = [{"image": save(tmp_path / "flat.nii.gz", image)}, case(tmp_path, "good", labelled=False)]
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        slices = dataset(data, transform)
    told = [str(warning.message) for warning in record if warning.category is not DeprecationWarning]
    if transform is not PLAIN:
        assert "percentiles" in told.pop(0)
    (message,) = told
    assert "flat.nii.gz" in message and "dropped" in message
    assert slices.patients == ["good"] and set(slices.volume.tolist()) == {0}
    with pytest.warns(UserWarning, match="flat"), pytest.raises(ValueError, match=r"1 constant one\(s\)"):
        dataset(data[:1], transform)


def test_a_volume_with_few_slices_is_kept_with_one_warning(tmp_path):
    data = [case(tmp_path, "thin", (12, 10, 3)), case(tmp_path, "good")]
    with pytest.warns(UserWarning, match=r"thin\.nii\.gz: 3 slice\(s\) for 4 partitions") as record:
        slices = dataset(data)
    assert len(record) == 1
    assert slices.partition.tolist() == [0, 1, 2, 0, 0, 1, 1, 2, 2, 3, 3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset(data, partitions=3)


def test_released_borders_carry_no_partition(tmp_path):
    slices = dataset([case(tmp_path, "p", (12, 10, 11))], partition_rule="released")
    assert slices.partition.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, -1, -1, -1]
    assert slices[10]["partition"] == -1


@pytest.mark.parametrize("transform", [PLAIN, volume_transform(image_size=(8, 8))])
@pytest.mark.parametrize("shape", [(10, 12, 8), (12, 10, 7)])
def test_a_label_of_another_shape_is_named_even_where_cropping_hides_it(shape, transform, tmp_path):
    item = case(tmp_path, "p", (12, 10, 8))
    item["label"] = save(tmp_path / "wrong.nii.gz", np.ones(shape, np.uint8))
    with pytest.raises(ValueError, match=r"wrong\.nii\.gz: label of .*images/p\.nii\.gz has \(\d+, \d+, 8\)"):
        dataset([item], transform)


@pytest.mark.parametrize("values", [[0, 300], [-1, 0], [0, 0.5]])
def test_labels_that_are_no_class_numbers_are_named(values, tmp_path):
    item = case(tmp_path, "p")
    item["label"] = save(tmp_path / "wrong.nii.gz", np.resize(np.float32(values), (12, 10, 8)))
    with pytest.raises(ValueError, match=r"wrong\.nii\.gz: expected (whole class numbers|the classes 0 to 255), found"):
        dataset([item])


def test_volumes_of_two_sizes_are_named(tmp_path):
    data = [case(tmp_path, "a", (12, 10, 8)), case(tmp_path, "b", (12, 12, 8))]
    with pytest.raises(ValueError, match=r"b\.nii\.gz: its slices are \(1, 12, 12\) .*a\.nii\.gz \(1, 12, 10\)"):
        dataset(data)
    assert len(dataset(data, volume_transform(image_size=(12, 12)))) == 16


def test_random_transforms_are_refused(tmp_path):
    transform = Compose([PLAIN, RandFlipd(["image", "label"], prob=0.5)])
    with pytest.raises(ValueError, match="RandFlipd is random"):
        dataset([case(tmp_path, "p")], transform)


def test_a_failing_transform_names_the_file_and_its_cause(tmp_path):
    transform = Compose([PLAIN, Resized("image", spatial_size=(4, 4))])
    with pytest.raises(ValueError, match=r"p\.nii\.gz.*(spatial_size|len)"):
        dataset([case(tmp_path, "p", labelled=False)], transform)


def test_a_label_that_the_transform_does_not_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"p\.nii\.gz: the transform left 'label' unread"):
        dataset([case(tmp_path, "p")], volume_transform(keys=("image",)))


def test_a_volume_must_have_three_axes(tmp_path):
    path = save(tmp_path / "flat.nii.gz", np.random.default_rng(0).random((12, 10)))
    with pytest.raises(ValueError, match=r"flat\.nii\.gz.*three axes"):
        dataset([{"image": path}], PLAIN)


def test_real_volumes_of_many_sizes_become_slices(real_data):
    cases = find_cases(real_data / "ACDC")[:8]
    slices = dataset(cases, volume_transform(image_size=(96, 96), pixdim=(2.0, 2.0)))
    assert slices[0]["image"].shape == (1, 96, 96) and len(slices.files) == 8
    assert set(torch.cat([slices[i]["label"] for i in range(len(slices))]).unique().tolist()) == {0, 1, 2, 3}
    assert abs(torch.cat([slices[i]["image"] for i in range(len(slices))]).mean() - 0.25) < 0.2


def test_real_volumes_slice_along_another_axis(real_data):
    cases = find_cases(real_data / "Task04_Hippocampus")[:4]
    slices = dataset(cases, volume_transform(image_size=(48, 48), slice_axis=1), slice_axis=1)
    assert len(slices) == sum(nib.load(case["image"]).shape[1] for case in cases)


@pytest.mark.parametrize("key", ["image", "label"])
def test_arrays_are_no_files(key, tmp_path):
    data = {**case(tmp_path, "p0"), key: np.zeros((1, 12, 10, 8), np.float32)}
    with pytest.raises(TypeError, match=f'expected a path, or a list of paths, as "{key}", found ndarray: save it'):
        dataset([data])
    if key == "image":  # steps of one's own may take them
        del data["label"]
        data["image"][..., 4] = 1
        assert len(dataset([data], Compose([Resized("image", (6, 6, 6))]), slice_axis=2)) == 6


@pytest.mark.parametrize("one", ["a.nii.gz", 3])
def test_paths_are_no_cases(one):
    with pytest.raises(TypeError, match=f'data: expected cases, such as {{"image": PATH, .*found {one!r}; find_cases'):
        SliceDataset([one])


@pytest.mark.parametrize("name", ["pixdim", "image_size"])
def test_an_empty_size_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name} must be one number, or one for each axis, found \(\)"):
        volume_transform(**{name: ()})

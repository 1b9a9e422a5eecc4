# SPDX-License-Identifier: Apache-2.0
"""A store serves what memory serves, prepares each volume once, and notices what has changed."""

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout
from monai.transforms import Compose, EnsureTyped, LoadImaged, ScaleIntensityd
from torch.utils.data import DataLoader

from monai_cl_ext.data import SliceDataset, default_store, volume_transform
from monai_cl_ext.data.store import Store
from monai_cl_ext.data.store.settings import described, settings_key


def write(path, seed=0, shape=(12, 10, 8), label=False):
    generator = np.random.default_rng(seed)
    voxels = generator.integers(0, 4, shape).astype(np.uint8) if label else generator.random(shape, np.float32)
    nib.save(nib.Nifti1Image(voxels, np.diag([1.4, 1.4, 9.0, 1.0])), path)
    return str(path)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return [
        {
            "image": write(folder / f"p{seed}.nii.gz", seed, (12, 10, 6 + seed)),
            "label": write(folder / f"p{seed}_label.nii.gz", seed, (12, 10, 6 + seed), label=True),
            "patient": f"p{seed}",
        }
        for seed in range(3)
    ]


def slices(data, store, transform=None, **arguments):
    return SliceDataset(data, transform, progress=False, store=store, **arguments)


def same(first, second):
    assert len(first) == len(second) and first.files == second.files and first.spacings == second.spacings
    for one, other in zip((first[i] for i in range(len(first))), (second[i] for i in range(len(second))), strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(torch.as_tensor(one[key]), torch.as_tensor(other[key])) for key in one)


class Counted:
    """A preparation that notes the files it reads."""

    def __init__(self, log):
        self.log = str(log)

    def __call__(self, case):
        with open(self.log, "a") as file:
            file.write(f"{case['image']}\n")
        return PLAIN(case)


PLAIN = Compose([LoadImaged(["image", "label"], image_only=True, ensure_channel_first=True, allow_missing_keys=True)])


def levels(image):
    return (image[:1] * 50).round().long().clamp_min(0)


def test_a_store_serves_what_memory_serves(data, tmp_path):
    in_memory, first = slices(data, None, superpixels=levels), slices(data, tmp_path / "store", superpixels=levels)
    same(first, in_memory)
    same(slices(data, tmp_path / "store", superpixels=levels), in_memory)
    same(pickle.loads(pickle.dumps(first)), in_memory)
    assert len(pickle.dumps(first)) < 3000  # the arrays stay on disk


def test_the_layout_is_plain(data, tmp_path):
    slices(data[:1], tmp_path / "store", superpixels=levels)
    (record,) = (tmp_path / "store").glob("*/*/volume.json")
    arrays = {path.name.split("_")[0]: np.load(path) for path in record.parent.glob("*.npy")}
    assert {name: (array.dtype.name, array.shape) for name, array in arrays.items()} == {
        "image.npy": ("float16", (6, 1, 12, 10)), "label.npy": ("uint8", (6, 1, 12, 10)),
        "foreground.npy": ("int32", ((arrays["label.npy"] > 0).sum(), 4)), "superpixel": ("uint8", (6, 1, 12, 10)),
    }  # fmt: skip
    facts = json.loads(record.read_text())
    assert facts["shape"] == [6, 1, 12, 10] and facts["files"] == [data[0]["image"], data[0]["label"]]
    assert json.loads((record.parents[1] / "settings.json").read_text())["versions"]["monai"]


def test_each_volume_is_prepared_once_whoever_asks(data, tmp_path):
    log = tmp_path / "log"
    for _ in range(2):
        slices(data, tmp_path / "store", Counted(log))
    slices(data[::-1], tmp_path / "store", Counted(log), partitions=2)
    assert sorted(log.read_text().split()) == [case["image"] for case in data]


def test_a_copy_elsewhere_is_known_by_its_content(data, tmp_path):
    log, other = tmp_path / "log", tmp_path / "elsewhere.nii.gz"
    other.write_bytes(Path(data[0]["image"]).read_bytes())
    slices(data[:1], tmp_path / "store", Counted(log))
    assert slices([data[0] | {"image": str(other)}], tmp_path / "store", Counted(log)).files == [str(other)]
    assert len(log.read_text().split()) == 1


def test_the_same_bytes_under_a_name_that_is_read_otherwise_are_another_volume(tmp_path):
    plain = [{"image": write(tmp_path / "a.nii")}]
    slices(plain, tmp_path / "store")
    wrong = tmp_path / "a.nii.gz"
    wrong.write_bytes((tmp_path / "a.nii").read_bytes())
    with pytest.raises(ValueError, match=r"a\.nii\.gz: .*rename it"):
        slices([{"image": str(wrong)}], tmp_path / "store")


@pytest.mark.parametrize("key", ["image", "label"])
def test_a_changed_file_is_noticed(key, data, tmp_path):
    slices(data, tmp_path / "store")
    write(data[1][key], 9, (12, 10, 7), label=key == "label")
    same(slices(data, tmp_path / "store"), slices(data, None))


def test_content_is_hashed_only_when_size_or_time_have_changed(data, tmp_path, monkeypatch):
    import monai_cl_ext.data.store.content as content

    slices(data, tmp_path / "store")
    hashed = []
    monkeypatch.setattr(content.hashlib, "file_digest", lambda file, name: hashed.append(file.name) or 1 / 0)
    slices(data, tmp_path / "store")
    assert not hashed
    os.utime(data[2]["image"], (1, 1))
    with pytest.raises(ZeroDivisionError):
        slices(data, tmp_path / "store")
    assert hashed == [data[2]["image"]]


@pytest.mark.parametrize(
    "transform", [volume_transform(image_size=(8, 8)), volume_transform(pixdim=2.0), volume_transform(slice_axis=2)]
)
def test_another_setting_is_another_entry(transform, data, tmp_path):
    slices(data, tmp_path / "store", volume_transform(image_size=(12, 10)))
    same(slices(data, tmp_path / "store", transform), slices(data, None, transform))
    assert len(list((tmp_path / "store").glob("*/settings.json"))) == 2


def test_other_superpixels_share_the_image(data, tmp_path):
    slices(data, tmp_path / "store", superpixels=levels)
    same(
        slices(data, tmp_path / "store", superpixels=lambda image: levels(image) + 1),
        slices(data, None, superpixels=lambda image: levels(image) + 1),
    )
    assert len(list((tmp_path / "store").glob("*/*/image.npy"))) == 3
    assert len(list((tmp_path / "store").glob("*/*/superpixel_*.npy"))) == 6


def images(store):
    """The files of images, by their number on the disk."""
    return {path.stat().st_ino: path for path in Path(store).glob("*/*/image.npy")}


def unlabelled(data):
    return [{"image": case["image"], "patient": case["patient"]} for case in data]


@pytest.mark.parametrize("order", [1, -1])
def test_an_image_is_on_disk_once_with_its_label_and_without(order, data, tmp_path):
    for cases in (unlabelled(data), data)[::order]:
        same(slices(cases, tmp_path / "store"), slices(cases, None))
        assert len(images(tmp_path / "store")) == 3
    write(data[0]["label"], 7, (12, 10, 6), label=True)
    same(slices(data, tmp_path / "store"), slices(data, None))
    assert len(list(tmp_path.glob("store/*/*/image.npy"))) == 7 and len(images(tmp_path / "store")) == 3


def brighter_with_label(case):
    return {**case, "image": case["image"] + ("label" in case)}


def test_an_image_that_is_another_with_its_label_is_kept_for_both(data, tmp_path):
    transform = Compose([*PLAIN.transforms, brighter_with_label])
    for cases in (data, unlabelled(data)):
        same(slices(cases, tmp_path / "store", transform), slices(cases, None, transform))
    assert len(images(tmp_path / "store")) == 6


def test_a_disk_without_hard_links_has_copies(data, tmp_path, monkeypatch):
    import monai_cl_ext.data.store.entry as entry

    monkeypatch.setattr(entry.os, "link", lambda *paths: (_ for _ in ()).throw(OSError(errno.EPERM, "no links")))
    for cases in (data, unlabelled(data)):
        same(slices(cases, tmp_path / "store"), slices(cases, None))
    assert len(images(tmp_path / "store")) == 6


def test_a_damaged_image_is_made_anew_for_both(data, tmp_path):
    for cases in (data, unlabelled(data)):
        slices(cases, tmp_path / "store")
    for path in images(tmp_path / "store").values():
        path.write_bytes(path.read_bytes()[:-1])
    for cases in (data, unlabelled(data)):
        with pytest.warns(UserWarning, match="a damaged entry of the store is made anew"):
            same(slices(cases, tmp_path / "store"), slices(cases, None))
    assert len(images(tmp_path / "store")) == 3


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive"])
def test_a_damaged_image_of_the_entry_with_a_label_does_not_stop_that_without(content, data, tmp_path):
    slices(data, tmp_path / "store")
    for path in images(tmp_path / "store").values():
        path.write_bytes(content)
    same(slices(unlabelled(data), tmp_path / "store"), slices(unlabelled(data), None))


def test_a_description_tells_what_differs_and_nothing_else(data):
    def plus(number):
        return lambda image: levels(image) + number

    alike = volume_transform(image_size=(8, 8), pixdim=(2.0, 2.0))
    before = described(alike)
    alike(data[0])
    assert described(alike) == before == described(volume_transform(image_size=[8, 8], pixdim=[2, 2]))
    loaded = Compose([LoadImaged("image", ensure_channel_first=True)])
    unused = described(loaded)
    loaded(data[0])
    assert described(loaded) == unused
    different = [
        volume_transform(), volume_transform(image_size=8), volume_transform(pixdim=2.0), volume_transform(("image",)),
        volume_transform(label_values=[0, 1]), volume_transform(num_classes=4), PLAIN, ScaleIntensityd("image"),
        ScaleIntensityd("image", minv=0.1), plus(1), plus(2), levels, partial(levels, 1), partial(levels, 2),
        np.zeros(3), np.zeros(3, np.float32), torch.ones(3), "1", 1, 1.0, True, None, {"a": 1}, {"b": 1}, [1, 2],
    ]  # fmt: skip
    keys = [settings_key(described(value)) for value in different]
    assert len(set(keys)) == len(keys)
    assert settings_key(described(plus(1))) == settings_key(described(plus(1)))


def test_a_description_is_the_same_in_another_process(data):
    code = """
        from monai_cl_ext.data import volume_transform
        from monai_cl_ext.data.store.settings import described, settings_key
        print(settings_key(described([volume_transform(image_size=8, pixdim=2.0), {"a", "b", "c"}, 2])))
    """
    expected = settings_key(described([volume_transform(image_size=8, pixdim=2.0), {"a", "b", "c"}, 2]))
    assert run(code).stdout.strip() == expected


def test_what_cannot_be_described_is_refused(tmp_path, data):
    with pytest.raises(ValueError, match=r"cannot be told what it does.*store=None"):
        slices(data, tmp_path / "store", Counted(tmp_path / "log"), superpixels=partial(levels, object()))
    with pytest.raises(TypeError, match='expected a path, or a list of paths, as "image", found ndarray'):
        slices([{"image": np.zeros(3)}], tmp_path / "store")
    with pytest.raises(ValueError, match="a store takes files, found a ndarray"):
        slices([{"image": np.zeros((1, 3, 3, 3))}], tmp_path / "store", EnsureTyped("image"))


def test_what_was_warned_of_is_told_again(data, tmp_path):
    flat = tmp_path / "flat.nii.gz"
    nib.save(nib.Nifti1Image(np.full((12, 10, 8), 7.0), np.eye(4)), flat)
    unlabelled = [{"image": case["image"]} for case in data]
    told = []
    for store in (None, tmp_path / "store", tmp_path / "store"):
        with warnings.catch_warnings(record=True) as record:
            warnings.simplefilter("always")
            found = slices([*unlabelled, {"image": str(flat)}], store)
        told.append([str(one.message) for one in record if one.category is UserWarning])
        assert len(found.files) == 3
    assert told[0] == told[1] == told[2]
    assert len(told[0]) == 2 and "percentiles" in told[0][0] and "dropped" in told[0][1]


def test_what_cropping_cuts_away_is_told_again(data, tmp_path):
    for _ in range(2):
        with pytest.warns(UserWarning, match="cropping cuts away .* of class 1"):
            slices(data, tmp_path / "store", volume_transform(image_size=(4, 4)))


def test_a_bad_file_is_named_and_the_others_are_kept(data, tmp_path):
    Path(data[1]["image"]).write_bytes(b"nothing")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"p1\.nii\.gz: expected a compressed NIfTI file"):
            slices(data, tmp_path / "store", workers=1)
    write(data[1]["image"], 1, (12, 10, 7))
    same(slices(data, tmp_path / "store"), slices(data, None))
    Path(data[1]["image"]).unlink()
    with pytest.raises(FileNotFoundError, match=r"p1\.nii\.gz: found no such file"):
        slices(data, tmp_path / "store")


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-1]), Path.unlink])
@pytest.mark.parametrize("file", ["image.npy", "volume.json"])
def test_a_damaged_entry_is_made_anew_with_a_warning(damage, file, data, tmp_path):
    slices(data, tmp_path / "store")
    damage(next((tmp_path / "store").glob(f"*/*/{file}")))
    with pytest.warns(UserWarning, match="a damaged entry of the store is made anew"):
        found = slices(data, tmp_path / "store")
    same(found, slices(data, None))


def cut_to_two_thirds(path):
    """Of two bytes a number, in each of which there is about one and a third then."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def as_another_shape(path):
    maps = np.load(path)
    np.save(path, maps.swapaxes(2, 3))


@pytest.mark.parametrize(
    "damage",
    [cut_to_two_thirds, as_another_shape, lambda path: path.write_bytes(b""), lambda path: path.open("ab").write(b"0")],
)
def test_damaged_superpixel_maps_are_made_anew_with_a_warning(damage, data, tmp_path):
    def many(image):
        return levels(image) + 1000

    slices(data, tmp_path / "store", superpixels=many)
    damaged = next((tmp_path / "store").glob("*/*/superpixel_*.npy"))
    damage(damaged)
    with pytest.warns(UserWarning, match=rf"{damaged.name}: a damaged entry of the store is made anew"):
        found = slices(data, tmp_path / "store", superpixels=many)
    same(found, slices(data, None, superpixels=many))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        slices(data, tmp_path / "store", superpixels=many)


def test_maps_of_pictures_smaller_than_their_header_are_served_in_their_own_type(tmp_path):
    small = [{"image": write(tmp_path / "a.nii.gz", 0, (4, 4, 3))}]
    arguments = {"superpixels": levels, "partitions": 1}
    same(slices(small, tmp_path / "store", **arguments), slices(small, None, **arguments))


def test_an_entry_that_goes_during_a_run_is_named(data, tmp_path):
    found = slices(data, tmp_path / "store")
    for path in (tmp_path / "store").glob("*/*/image.npy"):
        path.unlink()
    with pytest.raises(ValueError, match=r"image\.npy: a prepared volume has left the store"):
        found[0]


def test_workers_and_the_main_process_serve_the_same(data, tmp_path):
    found = slices(data, tmp_path / "store")
    loader = DataLoader(found, batch_size=4, num_workers=2, multiprocessing_context="fork")
    assert torch.equal(
        torch.cat([batch["image"] for batch in loader]), torch.stack([found[i]["image"] for i in range(len(found))])
    )


def test_volumes_that_wait_in_parts_keep_their_order(data, tmp_path, monkeypatch):
    import monai_cl_ext.data.prepared as prepared

    expected = slices(data, None)
    monkeypatch.setattr(prepared, "WAITING", 2)
    for store in (None, tmp_path / "store"):
        same(slices(data, store), expected)


def test_few_files_are_open_at_a_time(data, tmp_path, monkeypatch):
    import monai_cl_ext.data.store.arrays as arrays

    monkeypatch.setattr(arrays, "OPEN_ARRAYS", 2)
    found = slices(data, tmp_path / "store")
    same(found, slices(data, None))
    assert len(found._volumes.arrays._open) == 2


def test_a_full_disk_is_told_and_leaves_nothing_half_made(data, tmp_path, monkeypatch):
    import monai_cl_ext.data.store.entry as entry

    calls, save = [], np.save

    def full(file, array):
        calls.append(array.shape)
        if len(calls) == 3:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(file, array)

    monkeypatch.setattr(entry.np, "save", full)
    with pytest.raises(OSError, match="No space left on device: the store .* free space, or give another folder"):
        slices(data, tmp_path / "store", workers=1)
    monkeypatch.setattr(entry.np, "save", save)
    assert not list((tmp_path / "store").glob("*/.*"))
    same(slices(data, tmp_path / "store"), slices(data, None))


def test_a_folder_that_cannot_be_made_is_told(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="expected a folder, found a file"):
        slices(data, tmp_path / "file")
    with pytest.raises(OSError, match="give another folder as store"):
        slices(data, tmp_path / "file" / "below")
    with pytest.raises(ValueError, match="store must be a folder"):
        slices(data, 7)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_data_that_may_not_be_written_to_serve(data, tmp_path):
    (tmp_path / "data").chmod(0o555)
    same(slices(data, tmp_path / "store"), slices(data, None))


def test_nothing_is_written_beside_the_data(data, tmp_path):
    before = sorted((tmp_path / "data").rglob("*"))
    slices(data, tmp_path / "store")
    assert sorted((tmp_path / "data").rglob("*")) == before


def test_the_default_folder_is_the_user_s_cache_or_the_variable(monkeypatch):
    monkeypatch.setenv("MONAI_CL_EXT_STORE", "/disk/store")
    assert default_store() == "/disk/store"
    monkeypatch.delenv("MONAI_CL_EXT_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_store() == "/cache/monai_cl_ext"


SLOW = """
    import sys, time
    from pathlib import Path
    from monai.transforms import Compose
    from monai_cl_ext.data import LoadCased, SliceDataset

    class Slow:
        def __init__(self, seconds):
            self.seconds = seconds

        def __call__(self, case):
            with open(sys.argv[2], "a") as file:
                file.write(Path(case["image"].meta["filename_or_obj"]).name + chr(10))
            time.sleep(self.seconds)
            return case

    data = [{"image": str(path)} for path in sorted(Path(sys.argv[1]).glob("p?.nii.gz"))]
    found = SliceDataset(data, Compose([LoadCased("image"), Slow(0.3)]), store=sys.argv[3], progress=False, workers=1)
    print(sum(item["image"].sum().item() for item in (found[i] for i in range(len(found)))))
"""


def run(code, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def started(*arguments):
    command = [sys.executable, "-c", textwrap.dedent(SLOW), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_do_not_prepare_a_volume_twice(data, tmp_path):
    log = tmp_path / "log"
    processes = [started(tmp_path / "data", log, tmp_path / "store") for _ in range(2)]
    first, second = (process.communicate()[0] for process in processes)
    assert first and first == second and not any(process.returncode for process in processes)
    assert sorted(log.read_text().split()) == [f"p{seed}.nii.gz" for seed in range(3)]


def test_a_killed_process_leaves_the_store_whole(data, tmp_path):
    log, store = tmp_path / "log", tmp_path / "store"
    killed, other = (started(tmp_path / "data", log, store) for _ in range(2))
    while not log.is_file():
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    killed.stdout.close()
    assert other.communicate()[0] and other.returncode == 0
    again = started(tmp_path / "data", log, store)
    assert float(again.communicate()[0]) > 0
    assert len(log.read_text().split()) <= 4  # what the killed one had begun was begun again
    assert not list(store.glob("*/.*"))


def test_what_another_machine_is_writing_stays_until_it_ends(data, tmp_path):
    """A lock tells it: the numbers of processes there, even this one's in a container of its own, mean nothing here."""
    slices(data[:1], tmp_path / "store")
    (record,) = (tmp_path / "store").glob("*/*/volume.json")
    settings, content = record.parents[1], record.parent.name
    written = [settings / f".{content}.{number}" for number in (os.getpid(), 999_999_999)]
    for folder in written:
        folder.mkdir()
    with FileLock(tmp_path / "store" / "locks" / f"{settings.name}_{content[:2]}"):
        slices(data[:1], tmp_path / "store")
        assert all(folder.is_dir() for folder in written)
    slices(data[:1], tmp_path / "store")
    assert not any(folder.exists() for folder in written)


def test_settings_are_written_by_one_at_a_time(data, tmp_path, monkeypatch):
    import monai_cl_ext.data.store.store as module

    held = []

    def write(path, text):
        with suppress(Timeout):
            FileLock(tmp_path / "store" / "locks" / f"{path.parent.name}_se").acquire(timeout=0)
            held.append(path)
        path.write_text(text)

    monkeypatch.setattr(module, "write_text", write)
    slices(data[:1], tmp_path / "store")
    assert not held and list((tmp_path / "store").glob("*/settings.json"))


def test_a_store_that_may_only_be_read_serves(data, tmp_path, monkeypatch):
    slices(data, tmp_path / "store")
    import monai_cl_ext.data.store.store as module

    def refuse(*arguments, **more):
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("write_text", "write_entry", "FileLock"):
        monkeypatch.setattr(module, name, refuse)
    same(slices(data, tmp_path / "store"), slices(data, None))
    with pytest.raises(OSError, match="Read-only file system: the store"):
        slices(data, tmp_path / "store", volume_transform(image_size=(8, 8)))


def test_store_is_a_keeper_of_its_own(data, tmp_path):
    store = Store(tmp_path / "store", volume_transform(), 2, None)
    facts = [store.keep(place, case) for place, case in enumerate(data)]
    assert [one.shape[0] for one in facts] == [6, 7, 8]
    assert store.arrays([2]).image(0).shape == (8, 1, 12, 10)

# SPDX-License-Identifier: Apache-2.0
"""Predicting images of a folder: one file an image, none made twice, none overwritten, none that stops the others."""

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from monai.bundle import ConfigWorkflow
from monai.networks.nets import BasicUNet

from monai_cl_ext.bundles import build_bundle
from monai_cl_ext.data import read_nifti, write_phantom
from monai_cl_ext.recipes.predict import predict, trained_bundle

FEATURES = [4, 8, 8, 8, 8, 4]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """A bundle of a tiny network with random weights."""
    folder = build_bundle("gcl_segmentation", tmp_path_factory.mktemp("bundles"))
    config = json.loads((folder / "configs" / "inference.json").read_text())
    config["network_def"]["features"], config["image_size"] = FEATURES, [32, 32]
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "models").mkdir()
    torch.manual_seed(0)
    network = BasicUNet(2, 1, 4, FEATURES, norm="batch")
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


@pytest.fixture
def images(tmp_path) -> Path:
    folder = write_phantom(tmp_path / "phantom", patients=3) / "imagesTr"
    return folder.rename(tmp_path / "images")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.nii.gz"))


def test_each_image_gives_a_label_map_of_its_name_on_its_grid(bundle, images, tmp_path, capsys):
    assert predict(str(bundle), str(images), str(tmp_path / "out")) == 3
    assert names(tmp_path / "out") == names(images)
    for path in images.iterdir():
        label, image = read_nifti(tmp_path / "out" / path.name), read_nifti(path)
        assert label.shape == image.shape and (label.affine == image.affine).all()
        assert label.get_fdata().max() <= 3
    assert f"3 label map(s) written to {tmp_path / 'out'}" in capsys.readouterr().out
    assert not list((tmp_path / "out").glob(".unfinished*"))


def test_what_is_there_is_not_made_again(bundle, images, tmp_path, capsys):
    out = tmp_path / "out"
    first = sorted(images.iterdir())[0]
    assert predict(str(bundle), str(first), str(out)) == 1
    before = (out / first.name).stat().st_mtime_ns
    assert predict(str(bundle), str(images), str(out)) == 2
    assert (out / first.name).stat().st_mtime_ns == before
    assert "2 label map(s) written" in capsys.readouterr().out.splitlines()[-1]
    assert predict(str(bundle), str(images), str(out)) == 0
    assert "3 that were there before are kept" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_predicted(bundle, images, tmp_path, capsys):
    broken = sorted(images.iterdir())[1]
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"1 of 3 image\(s\) were not predicted"):
        predict(str(bundle), str(images), str(tmp_path / "out"))
    told = capsys.readouterr().out
    assert f"not predicted: {broken.name.removesuffix('.nii.gz')}: {broken}" in told and "2 label map(s)" in told
    assert names(tmp_path / "out") == sorted({path.name for path in images.iterdir()} - {broken.name})


def test_nothing_is_overwritten(bundle, images, tmp_path, capsys):
    """Neither images, nor files of others, nor predictions of other weights or of another image of the name."""
    content = {path.name: path.read_bytes() for path in images.iterdir()}
    with pytest.raises(ValueError, match="3 of 3"):
        predict(str(bundle), str(images), str(images))
    assert "exists and is not the prediction of" in capsys.readouterr().out
    assert {name: (images / name).read_bytes() for name in content} == content
    out = tmp_path / "out"
    predict(str(bundle), str(images), str(out))
    first, second, _ = sorted(images.glob("*.nii.gz"))
    shutil.copy(second, first)
    with pytest.raises(ValueError, match="1 of 3"):
        predict(str(bundle), str(images), str(out))
    other = Path(shutil.copytree(bundle, tmp_path / "other"))
    state = torch.load(other / "models" / "model.pt", weights_only=True)
    torch.save({name: value + 1 for name, value in state.items()}, other / "models" / "model.pt")
    with pytest.raises(ValueError, match="holds predictions of other weights; give another output"):
        predict(str(other), str(images), str(out))


def test_label_maps_and_series_beside_the_images_are_no_images(bundle, images, tmp_path):
    first = sorted(images.iterdir())[0]
    for end in ("seg", "4d"):
        shutil.copy(first, images / f"{first.name.removesuffix('.nii.gz')}_{end}.nii.gz")
    with pytest.warns(UserWarning, match="4-D series are left out"):
        assert predict(str(bundle), str(images), str(tmp_path / "out")) == 3


def test_a_training_that_has_not_ended_does_not_predict(bundle, tmp_path):
    """Its model.pt holds the best weights so far, from the first epoch on."""
    run = tmp_path / "run"
    shutil.copytree(bundle, run / "bundle")
    (run / "run.json").touch()
    for given in (run, run / "bundle"):
        with pytest.raises(FileNotFoundError, match="found no .*train.done; training has to end first"):
            trained_bundle(given)
    (run / "bundle" / "train.done").touch()
    assert trained_bundle(run) == trained_bundle(run / "bundle") == run / "bundle"


@pytest.mark.parametrize("number, done", [(errno.ENOSPC, 1), (errno.EIO, 3)])
def test_a_full_disk_stops_it_and_another_error_of_the_system_does_not(
    number, done, bundle, images, tmp_path, monkeypatch
):
    calls = []

    def fail(self):
        calls.append(self)
        raise RuntimeError("a transform") from OSError(number, "told by the system")

    monkeypatch.setattr(ConfigWorkflow, "run", fail)
    with pytest.raises(RuntimeError if done == 1 else ValueError):
        predict(str(bundle), str(images), str(tmp_path / "out"))
    assert len(calls) == done


def test_stopped_between_record_and_file_it_goes_on(bundle, images, tmp_path, monkeypatch):
    image, out, rename = sorted(images.iterdir())[0], tmp_path / "out", Path.rename

    def stop(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", stop)
    with pytest.raises(KeyboardInterrupt):
        predict(str(bundle), str(image), str(out))
    assert list(json.loads((out / "predictions.json").read_text())["images"]) == [image.name.removesuffix(".nii.gz")]
    monkeypatch.setattr(Path, "rename", rename)
    assert predict(str(bundle), str(image), str(out)) == 1 and names(out) == [image.name]


def test_two_at_once_in_a_folder_are_refused(bundle, images, tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(ValueError, match="is being run by another process"):
        predict(str(bundle), str(images), str(tmp_path))


@pytest.mark.parametrize("absent, message", [
    ("run", "found no configs/inference.json; give the --output of train"), ("images", "found nothing"),
    ("weights", "found no models/model.pt; training has to end first"),
    ("volumes", "found a folder without them .folders in it are not searched"),
])  # fmt: skip
def test_what_is_missing_is_named(absent, message, bundle, images, tmp_path):
    run, folder = bundle, images
    if absent == "run":
        run = tmp_path / "nowhere"
    elif absent == "weights":
        run = build_bundle("gcl_segmentation", tmp_path)
    else:
        folder = tmp_path / "nothing"
        if absent == "volumes":
            folder.mkdir()
    with pytest.raises(FileNotFoundError, match=message):
        predict(str(run), str(folder), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_label_maps_that_are_passed_over_are_warned_of(bundle, images, tmp_path):
    first = sorted(images.iterdir())[0]
    shutil.copy(first, images / f"{first.name.removesuffix('.nii.gz')}_seg.nii.gz")
    with pytest.warns(
        UserWarning, match=r"1 file\(s\) named like label maps are not predicted: .*_seg.nii.gz; give an"
    ):
        assert predict(str(bundle), str(images), str(tmp_path / "out")) == 3


def test_a_link_is_predicted_under_its_own_name(bundle, images, tmp_path):
    stored = sorted(images.iterdir())[0].rename(tmp_path / "5d41402a")  # as data version control keeps files
    link = tmp_path / "case1.nii.gz"
    link.symlink_to(stored)
    assert predict(str(bundle), str(link), str(tmp_path / "out")) == 1
    assert (tmp_path / "out" / "case1.nii.gz").is_file()

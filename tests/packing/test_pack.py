# SPDX-License-Identifier: Apache-2.0
"""A packed bundle does what the run's evaluation did, on MONAI alone, and tells nothing of patients and places."""

import csv
import json
import os
import shlex
import shutil
import sys
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject
from workflows import SMALL, check_served, copy_bundle, evaluated, refuse_this_package, run, served, workflow

from monai_cl_ext.packing.checks import SCHEMA, check_bundle
from monai_cl_ext.packing.commands import BundleCommands
from monai_cl_ext.packing.next_steps import next_steps
from monai_cl_ext.packing.pack import pack
from monai_cl_ext.packing.zoo import left_out, write_pull_request


def test_its_configs_hold_what_the_training_was_given(packed, trained, given):
    for name in ("train", "inference"):
        parser = ConfigParser(ConfigParser.load_config_file(str(packed.folder / "configs" / f"{name}.json")))
        assert all(parser[key] == value for key, value in given.items())
    train = json.loads((packed.folder / "configs" / "train.json").read_text())
    own = json.loads((trained / "configs" / "train.json").read_text())
    assert train["epochs"] == SMALL["epochs"] != own["epochs"]
    for place in ("dataset_dir", "device", "bundle_root", "labelled_patients", "split", "train", "validate"):
        assert train[place] == own[place]  # the places and patients of the bundle, and not of the run
    evaluate = json.loads((packed.folder / "configs" / "evaluate.json").read_text())
    assert evaluate["class_names"] == ["right", "wall", "left"]


@pytest.fixture(scope="module")
def downloaded(packed, tmp_path_factory):
    """The packed bundle as others get it."""
    return download(packed.folder, tmp_path_factory.mktemp("served"))


def download(bundle, folder):
    """The folder that MONAI makes of a zipped bundle at an address."""
    name = bundle.name
    shutil.make_archive(str(folder / name), "zip", bundle.parent, name)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/{name}.zip"
        monai.bundle.download(name, bundle_dir=str(folder / "bundles"), url=url, progress=False)
        server.shutdown()
    return folder / "bundles" / name


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Says nothing."""


def test_on_monai_alone_it_predicts_what_the_evaluation_scored(downloaded, evaluation, tmp_path, monkeypatch):
    refuse_this_package(monkeypatch)
    _, scored = evaluation
    assert len(scored) == 2 and any(values.any() for values in scored.values())
    check_served(scored, served(downloaded, [], tmp_path, device="cpu", datalist=list(scored)))


def test_monais_commands_take_it_without_this_package(downloaded, given, tmp_path, monkeypatch):
    refuse_this_package(monkeypatch)
    network = monai.bundle.load(downloaded.name, bundle_dir=str(downloaded.parent))
    state = torch.load(downloaded / "models" / "model.pt", weights_only=True)
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    metadata, config = (str(downloaded / "configs" / f"{name}.json") for name in ("metadata", "inference"))
    monai.bundle.verify_metadata(metadata, filepath=str(SCHEMA))
    monai.bundle.verify_net_in_out("network_def", meta_file=metadata, config_file=config, device="cpu")
    monai.bundle.ckpt_export(
        "network_def", filepath=str(tmp_path / "model.ts"), meta_file=metadata, config_file=config,
        ckpt_file=str(downloaded / "models" / "model.pt"),
    )  # fmt: skip
    image = torch.rand(1, 1, *given["image_size"])
    expected = network.eval().cpu()(image)
    for path in (tmp_path / "model.ts", downloaded / "models" / "model.ts"):
        torch.testing.assert_close(torch.jit.load(path)(image), expected)


@pytest.mark.slow
def test_monai_exports_it_as_onnx_without_this_package(downloaded, given, tmp_path, monkeypatch):
    reference = pytest.importorskip("onnx.reference")
    refuse_this_package(monkeypatch)
    size = [1, 1, *given["image_size"]]
    monai.bundle.onnx_export(
        "network_def", filepath=str(tmp_path / "model.onnx"), input_shape=size,
        meta_file=str(downloaded / "configs" / "metadata.json"), ckpt_file=str(downloaded / "models" / "model.pt"),
        config_file=str(downloaded / "configs" / "inference.json"),
    )  # fmt: skip
    image = torch.rand(size)
    with torch.no_grad():
        expected = torch.jit.load(downloaded / "models" / "model.ts").eval()(image).numpy()
    for path in (tmp_path / "model.onnx", downloaded / "models" / "model.onnx"):
        network = reference.ReferenceEvaluator(str(path))
        batch = image.numpy() if path.parent == tmp_path else image.repeat(3, 1, 1, 1).numpy()  # ours takes any number
        (found,) = network.run(None, {network.input_names[0]: batch})
        np.testing.assert_allclose(found, np.repeat(expected, len(batch), 0), atol=1e-4)


def test_it_tells_neither_patients_nor_places_and_is_small(packed, trained, phantom):
    names = [path.name.removesuffix(".nii.gz") for path in phantom.rglob("*.nii.gz")]
    files = [path for path in packed.folder.rglob("*") if path.is_file() and path.parent.name != "models"]
    assert sum(path.stat().st_size for path in files) <= 300 * 1024
    for path in files:
        text = path.read_text()
        assert not any(name in text for name in [*names, str(phantom), str(trained), str(Path.home())]), path
    models = sorted((packed.folder / "models").iterdir())
    assert {path.name for path in models} <= {"model.pt", "model.ts", "model.onnx"}
    assert not (packed.folder / "eval").exists() and set(packed.missing) <= {"models/model.onnx"}
    contents = [content for path in models for content in members(path)]
    places = [phantom, trained, packed.folder.parent, Path.home(), sys.prefix, Path(monai.__file__).parents[1]]
    assert not [place for place in places for content in contents if os.fsencode(place) in content]


def members(path):
    """The bytes of a file, or of what an archive holds."""
    if not zipfile.is_zipfile(path):
        return [path.read_bytes()]
    with zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist()]


def test_what_editors_leave_behind_is_left_out(trained, tmp_path):
    root = shutil.copytree(trained, tmp_path / "supervised_segmentation")
    for name in (".DS_Store", ".train.json.swp", "train.json~"):
        (root / "configs" / name).write_bytes(b"\x00\xff")
    (root / "configs" / "paper.json").write_text('{"epochs": 3}')
    packed = pack(str(root), str(tmp_path / "heart_segmentation"), exports=False)
    assert json.loads((packed.folder / "configs" / "paper.json").read_text()) == {"epochs": 3}
    assert not [path for path in packed.folder.rglob("*") if path.name[0] == "." or path.name[-1] == "~"]


def test_its_scores_are_those_of_the_evaluation(packed, trained):
    metadata = json.loads((packed.folder / "configs" / "metadata.json").read_text())
    with open(trained / "eval" / "metrics.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["class"] == "wall"]
    values = np.array([float(row["dice"]) for row in rows])
    metrics = metadata["eval_metrics"]
    assert metrics["dice_wall"] == pytest.approx(values.mean(), abs=1e-4)
    half = 12.706 * values.std(ddof=1) / 2**0.5  # the quantile of t with one degree of freedom: two test patients
    assert metrics["dice_wall_95_high"] == pytest.approx(min(values.mean() + half, 1), abs=1e-3)
    page = " ".join((packed.folder / "docs" / "README.md").read_text().split())
    assert f"| wall | {values.mean():.3g} [" in page and "2 patients of the test part" in page
    assert not packed.unscored and "public domain" in page and "A. Uthor" in page
    assert "two scanners of B; training: 3 volume(s) of 3 patient(s)" in page
    required = ("MONAI 1.", "pytorch-ignite 0.", "nibabel 5.", "scipy 1.", "fire")
    assert all(name in page[page.index("## **Additional Usage Steps**") :] for name in required)
    assert "tilted gantry" in page  # where label maps on MONAI alone are others than those that were scored


def test_what_metadata_says_of_it(packed, phantom):
    metadata = json.loads((packed.folder / "configs" / "metadata.json").read_text())
    formats = metadata["network_data_format"]
    assert formats["inputs"]["image"]["spatial_shape"] == [32, 32]
    assert list(formats["outputs"]["pred"]["channel_def"].values()) == ["background", "right", "wall", "left"]
    assert metadata["copyright"] == "Copyright (c) A. Uthor" and metadata["data_source"].startswith("two scanners")
    described = json.loads((phantom / "dataset.json").read_text())["modality"]
    assert [formats["inputs"]["image"]["modality"]] == list(described.values())
    assert "monai-cl-ext" not in metadata["required_packages_version"]
    assert "monai-cl-ext" in metadata["training_packages_version"]
    assert set(metadata["weights_sha256"]) == {f"models/{file.name}" for file in (packed.folder / "models").iterdir()}
    assert f"bundle zoo {packed.folder}" in next_steps(packed)


def test_what_the_zoo_would_refuse_is_refused(packed, tmp_path):
    root = shutil.copytree(packed.folder, tmp_path / "bundle")
    (root / "LICENSE").rename(root / "LICENCE")
    with pytest.raises(ValueError, match="found no LICENSE"):
        check_bundle(root)
    (root / "LICENCE").rename(root / "LICENSE")
    path = root / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    path.write_text(json.dumps(metadata | {"version": "9.9.9"}))
    with pytest.raises(ValueError, match=r"version 9\.9\.9"):
        check_bundle(root)
    metadata["network_data_format"]["outputs"]["pred"]["num_channels"] = 3
    path.write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="channel"):
        check_bundle(root)


def test_a_folder_in_which_nothing_was_trained_is_refused(trained, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"found no configs/inference\.json"):
        pack(str(tmp_path), str(tmp_path / "out"))
    root = copy_bundle("supervised_segmentation", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"found no models/model\.pt"):
        pack(str(root), str(tmp_path / "out"))
    shutil.copytree(trained / "models", root / "models")
    with pytest.raises(FileNotFoundError, match=r"run_train\.json of a training that has completed, found none"):
        pack(str(root), str(tmp_path / "out"))
    shutil.copytree(trained / "eval", root / "eval")
    record = json.loads((root / "eval" / "run_train.json").read_text())
    (root / "eval" / "run_train.json").write_text(json.dumps(record | {"completed": False, "epochs": 1}))
    with pytest.raises(FileNotFoundError, match="ended after 1 of its epochs"):
        pack(str(root), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network_are_refused(trained, tmp_path):
    root = shutil.copytree(trained, tmp_path / "supervised_segmentation")
    path = root / "eval" / "config_train.json"
    config = json.loads(path.read_text())
    config["network_def"]["features"] = [4, 8, 8, 8, 16, 4]
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"model\.pt does not fit network_def of inference\.json"):
        pack(str(root), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_scores_of_earlier_weights_are_left_out(trained, tmp_path, capsys):
    root = shutil.copytree(trained, tmp_path / "supervised_segmentation")
    path = root / "eval" / "run_evaluate.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"begun": 0.0}))
    packed = pack(str(root), str(tmp_path / "out"), exports=False)
    assert packed.unscored == "evaluated with other weights"
    assert f"No scores: {packed.unscored}." in (packed.folder / "docs" / "README.md").read_text()
    assert f"no scores: {packed.unscored}; run train.json" in next_steps(packed)
    BundleCommands().zoo(str(packed.folder), "https://example.org", str(tmp_path / "zoo"))
    assert "add 'out' to exclude_verify_torchscript_list" in capsys.readouterr().out  # it was packed without exports
    with pytest.raises(FileExistsError, match="exists already"):
        pack(str(root), str(tmp_path / "out"))


def test_a_pull_request_to_the_zoo(packed, phantom, tmp_path, monkeypatch):
    folder, large, test = write_pull_request(str(packed.folder), "https://example.org/weights/", str(tmp_path))
    entries = yaml.safe_load(large.read_text())["large_files"]
    known = json.loads((folder / "configs" / "metadata.json").read_text())["weights_sha256"]
    assert {entry["path"]: entry["hash_val"] for entry in entries} == known
    assert entries[0]["url"].startswith("https://example.org/weights/model.") and not (folder / "models").exists()
    shutil.copytree(packed.folder / "models", folder / "models")  # as the zoo downloads them
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(test.read_text(), str(test), "exec"), names)  # as the zoo runs it, in this process
    names["TestInference"]("test_label_maps_lie_on_the_grid_of_the_images").debug()
    assert not left_out(str(packed.folder))
    with pytest.raises(FileExistsError):
        write_pull_request(str(packed.folder), "https://example.org", str(tmp_path))
    with pytest.raises(ValueError, match="expected a folder that bundle pack wrote"):
        write_pull_request(str(phantom), "https://example.org", str(tmp_path / "other"))


def test_what_was_written_into_a_pack_later_is_in_no_pull_request(packed, tmp_path, capsys):
    root = shutil.copytree(packed.folder, tmp_path / packed.folder.name)
    written = ("eval/patient007/patient007_trans.nii.gz", "models/resume_train/state.pt", "notes.txt", "docs/.x.swp")
    for path in (root / name for name in written):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    BundleCommands().zoo(str(root), "https://example.org", str(tmp_path / "zoo"))
    found = {path.name for path in (tmp_path / "zoo" / "models" / root.name).rglob("*")}
    assert "README.md" in found and not found & {"eval", "patient007", "models", "resume_train", "notes.txt", ".x.swp"}
    assert "left out, as bundle pack did not write it: eval, models/resume_train, notes.txt" in capsys.readouterr().out
    (root / "models" / "model.pt").write_bytes(b"of another training")
    with pytest.raises(ValueError, match=r"models/model\.pt is not the file whose SHA-256"):
        write_pull_request(str(root), "https://example.org", str(tmp_path / "other"))


def test_the_page_trains_on_elsewhere_with_all_weights(packed, phantom, tmp_path):
    page = (packed.folder / "docs" / "README.md").read_text()
    (line,) = [line for line in page.splitlines() if "--pretrained" in line]
    words = shlex.split(line.replace("OUT", str(tmp_path / "out")))
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert options.pop("--config_file") == "configs/train.json" and options.pop("--dataset_dir") == "DIR"
    settings = {name.removeprefix("--"): value for name, value in options.items()}
    settings["pretrained"] = str(packed.folder / settings["pretrained"])
    before = sorted(packed.folder.rglob("*")), (packed.folder / "models" / "model.pt").read_bytes()
    brief = {"dataset_dir": str(phantom), "device": "cpu", "epochs": 1, "batches_per_epoch": 1, "learning_rate": 0.0}
    flow = workflow(packed.folder, ["train"], **settings, **brief)
    packed_state = torch.load(packed.folder / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(value, packed_state[name]) for name, value in flow.network_def.state_dict().items())
    flow.run()
    assert (tmp_path / "out" / "models" / "model.pt").is_file()
    assert (sorted(packed.folder.rglob("*")), (packed.folder / "models" / "model.pt").read_bytes()) == before


def test_overlays_that_would_replace_what_is_baked_in_are_left_out(packed, trained):
    assert {"volumes", "mixup"} <= {path.stem for path in (trained / "configs").glob("*.json")}
    left = {path.stem for path in (packed.folder / "configs").glob("*.json")}
    known = json.loads((packed.folder / "configs" / "metadata.json").read_text())["overlays"]
    assert "mixup" in left & known.keys()
    for names in (left, known):
        assert not [name for name in names if name in ("volumes", "paper_la") or name.startswith("network_")]


def test_two_federated_rounds_go_on_with_it(packed, phantom, tmp_path):
    root = shutil.copytree(packed.folder, tmp_path / packed.folder.name)
    settings = {"dataset_dir": str(phantom), "bundle_root": str(root), "device": "cpu", "batches_per_epoch": 2}
    client = MonaiAlgo(bundle_root=str(root), train_kwargs=settings, eval_kwargs=settings)
    client.initialize({ExtraItems.CLIENT_NAME: "client"})
    start = {name: value.clone() for name, value in client.trainer.network.state_dict().items()}
    for _ in range(2):
        client.train(ExchangeObject(weights=start))
        assert any(float(torch.as_tensor(change).abs().max()) > 0 for change in client.get_weights().weights.values())
        assert 0 <= client.evaluate(ExchangeObject(weights=start)).metrics["mean_dice"] <= 1
    client.finalize()


@pytest.mark.slow
def test_patches_of_volumes_are_packed_too(phantom, tmp_path, monkeypatch):
    root = copy_bundle("supervised_segmentation", tmp_path)
    given = {
        "image_size": [32, 32, 16], "pixdim": [6.0, 6.0, 10.0], "network_def#features": [4, 8, 8, 8, 8, 4],
        "batch_size": 2,
    }  # fmt: skip
    settings = SMALL | given | {"dataset_dir": str(phantom)}
    run(root, ["train", "volumes"], **settings, labelled_patients=3)
    scored = evaluated(root, ["volumes"], **settings)
    packed = pack(str(root), str(tmp_path / "volume_segmentation"))
    assert not packed.unscored
    (tmp_path / "served").mkdir()
    got = download(packed.folder, tmp_path / "served")
    with monkeypatch.context() as patched:
        refuse_this_package(patched)
        check_served(scored, served(got, [], tmp_path / "found", device="cpu", datalist=list(scored)))
    workflow = ConfigWorkflow(
        str(packed.folder / "configs" / "train.json"), logging_file=False, bundle_root=str(packed.folder),
        dataset_dir=str(phantom), workflow_type="train", device="cpu", **{"epochs": 1, "batches_per_epoch": 1},
    )  # fmt: skip
    workflow.initialize()
    workflow.run()  # what was packed trains on, in 3D and without an overlay
    assert (packed.folder / "models" / "model_final.pt").is_file()

# SPDX-License-Identifier: Apache-2.0
"""SuperCL's superpixels come from any backend by an overlay or two settings, learned ones too."""

import importlib.util

import pytest
import torch
from workflows import SMALL, copy_bundle, message_of, parsed, run

from monai_cl_ext.data import superpixel_weights, write_phantom
from monai_cl_ext.networks import LNSNet, SuperpixelFCN
from monai_cl_ext.superpixel_training.commands import SuperpixelCommands
from monai_cl_ext.transforms.superpixels.weights import save_weights

BUNDLE = "supercl_segmentation"
BACKENDS = {"lsc": "opencv_lsc", "felzenszwalb": "felzenszwalb", "lnsnet": "lnsnet", "fcn": "superpixel_fcn"}


@pytest.fixture
def untrained(tmp_path, monkeypatch):
    """A store with weights that nobody has trained."""
    monkeypatch.setenv("MONAI_CL_EXT_STORE", str(tmp_path / "store"))
    for backend, network in (("lnsnet", LNSNet()), ("superpixel_fcn", SuperpixelFCN())):
        save_weights(tmp_path / "store" / "superpixels" / f"{backend}.pt", backend, {}, network)


@pytest.mark.parametrize("name", BACKENDS)
def test_an_overlay_names_the_backend_whatever_it_is_laid_over(name, untrained):
    if name == "lsc" and importlib.util.find_spec("cv2") is None:
        pytest.skip("needs opencv")
    for below in ([], ["superpixels_per_view"], ["paper_pretrain"]):
        parser = parsed(BUNDLE, "pretrain", *below, f"superpixels_{name}", n_segments=30)
        superpixels = parser.get_parsed_content("superpixels")
        assert (superpixels.method, superpixels.n_segments) == (BACKENDS[name], 30)
        assert bool(superpixels.weights) == (name in ("lnsnet", "fcn"))
        assert parser.get_parsed_content("view_superpixels") is None
        assert parser["train#dataset#superpixels"] == "@superpixels"


def test_learned_superpixels_without_weights_name_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("MONAI_CL_EXT_STORE", str(tmp_path / "empty"))
    for settings in ({"superpixel_backend": "lnsnet"}, {}):
        overlays = [] if settings else ["superpixels_fcn"]
        with pytest.raises(RuntimeError) as error:
            parsed(BUNDLE, "pretrain", *overlays, **settings).get_parsed_content("superpixels")
        assert "found none; train on images of your own: python -m monai_cl_ext superpixels train" in message_of(error)


def test_supercl_pretrains_on_superpixels_that_the_command_trained(tmp_path, monkeypatch):
    monkeypatch.setenv("MONAI_CL_EXT_STORE", str(tmp_path / "store"))
    write_phantom(tmp_path / "data", patients=6, seed=0)
    sizes = {"image_size": [32, 32], "pixdim": [5.0, 5.0]}
    SuperpixelCommands().train(str(tmp_path / "data"), "lnsnet", n_segments=9, steps=3, device="cpu", **sizes)
    short = {**SMALL, **sizes, "epochs": 1, "batches_per_epoch": 2, "batch_size": 4, "n_segments": 9}
    root = copy_bundle(BUNDLE, tmp_path)
    flow = run(root, ["pretrain", "superpixels_lnsnet"], dataset_dir=str(tmp_path / "data"), **short)
    superpixels, dataset = (flow.parser.get_parsed_content(name) for name in ("superpixels", "train#dataset"))
    assert (root / "models" / "model_pretrain.pt").is_file()
    for number in range(0, len(dataset), 5):
        assert torch.equal(dataset[number]["superpixel"], superpixels(dataset[number]["image"]))
    assert dataset[3]["superpixel"].max() > 2
    assert superpixel_weights("lnsnet").startswith(str(tmp_path / "store"))

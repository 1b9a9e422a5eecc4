# SPDX-License-Identifier: Apache-2.0
"""Runs the stages of a bundle in this process, at a size that a test can afford."""

import importlib
import json
import shutil
import sys
import traceback
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from ignite.engine import Events
from monai.bundle import ConfigParser, ConfigWorkflow

from monai_cl_ext.bundles import shared_overlay

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"

SMALL = {
    "device": "$torch.device('cpu')",
    "image_size": [32, 32],
    "pixdim": [5.0, 5.0],
    "network_def#features": [4, 8, 8, 8, 8, 4],
    "validation_patients": 2,
    "test_patients": 2,
    "epochs": 2,
    "batches_per_epoch": 3,
    "log_interval": 1,
}


def copy_bundle(name: str, folder: Path) -> Path:
    """A fresh copy of a bundle, without weights or results, with every overlay that serves it."""
    root = folder / name
    shutil.copytree(BUNDLES / name, root, ignore=shutil.ignore_patterns("models", "eval", "mlruns*"))
    for overlay in read(name, "metadata")["overlays"]:
        shutil.copy(config(name, overlay), root / "configs")
    return root


def config(bundle: str, name: str) -> Path:
    """The file of a config of a bundle, or of an overlay that serves it."""
    path = BUNDLES / bundle / "configs" / f"{name}.json"
    return path if path.is_file() else shared_overlay(name)


def read(bundle: str, name: str) -> dict:
    """Content of such a file."""
    return json.loads(config(bundle, name).read_text())


def parsed(bundle: str, *names: str, **settings) -> ConfigParser:
    """Configs of a bundle laid over each other, with settings."""
    parser = ConfigParser()
    parser.read_config([config(bundle, name) for name in names])
    parser.update(settings)
    return parser


def message_of(raised: pytest.ExceptionInfo) -> str:
    """The messages of an error and of all that caused it, since MONAI wraps what a component raises."""
    return "".join(traceback.format_exception(raised.value))


def workflow(root: Path, configs: list[str], workflow_type: str = "train", **settings) -> ConfigWorkflow:
    """The workflow of ``configs`` (names without suffix), initialized and with its properties checked."""
    flow = ConfigWorkflow(
        config_file=[f"{root}/configs/{name}.json" for name in configs],
        meta_file=f"{root}/configs/metadata.json",
        logging_file=False,
        workflow_type=workflow_type,
        bundle_root=str(root),
        **settings,
    )
    flow.initialize()
    wrong = flow.check_properties()
    assert not wrong, wrong
    return flow


def run(root: Path, configs: list[str], workflow_type: str = "train", **settings) -> ConfigWorkflow:
    """Runs a stage from initialize to finalize."""
    flow = workflow(root, configs, workflow_type, **settings)
    flow.run()
    flow.finalize()
    return flow


def evaluated(root: Path, overlays: list[str], **settings) -> dict[str, np.ndarray]:
    """What evaluation scored of each volume, by its file, the first of several."""
    flow = workflow(root, ["train", "evaluate", *overlays], **settings)
    predictions = {}

    def keep(engine) -> None:
        for output in engine.state.output:
            predictions[output["image"].meta["filename_or_obj"]] = output["pred"].numpy()[0].copy()

    flow.evaluator.add_event_handler(Events.ITERATION_COMPLETED, keep)
    flow.run()
    flow.finalize()
    assert predictions and (root / "eval" / "metrics.csv").is_file()
    return predictions


def served(root: Path, overlays: list[str], output: Path, **settings) -> dict[str, nib.Nifti1Image]:
    """What inference writes of a folder, by the stem of each file."""
    run(root, ["inference", *overlays], "infer", output_dir=str(output), **settings)
    return {path.name.removesuffix("_trans.nii.gz"): nib.load(path) for path in output.glob("*/*_trans.nii.gz")}


def check_served(predictions: dict[str, np.ndarray], *written: dict[str, nib.Nifti1Image]) -> None:
    """What was written of each volume lies on the grid of its file and equals what was scored."""
    for file, prediction in predictions.items():
        image = nib.load(file)
        for found in written:
            volume = found[Path(file).name.removesuffix(".nii.gz")]
            assert volume.shape == image.shape[:3] == prediction.shape
            np.testing.assert_allclose(volume.affine, image.affine, atol=1e-4)
            np.testing.assert_array_equal(np.asarray(volume.dataobj), prediction)


def write_pictures(folder: Path, classes: dict[str, float], count: int, seed: int = 0) -> Path:
    """Stripes of a direction for each class, in a folder for each."""
    from PIL import Image

    generator = np.random.default_rng(seed)
    row, column = np.mgrid[:20, :23]
    for name, slope in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            gray = 0.5 + 0.4 * np.sin(0.9 * (row + slope * column) + generator.uniform(0, 6))
            color = gray[..., None] * [1.0, 0.7, 0.5] + 0.05 * generator.standard_normal((20, 23, 3))
            Image.fromarray((color.clip(0, 1) * 255).astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


def refuse_this_package(monkeypatch) -> None:
    """As where it is not installed: neither it nor a module of it that was imported before is found."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "monai_cl_ext"]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("monai_cl_ext", "monai_cl_ext.data"):
        with pytest.raises(ImportError):
            importlib.import_module(name)

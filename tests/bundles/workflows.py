# SPDX-License-Identifier: Apache-2.0
"""Runs the stages of a bundle in this process, at a size that a test can afford."""

import shutil
from pathlib import Path

from monai.bundle import ConfigWorkflow

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
    """A fresh copy of a bundle, without weights or results."""
    root = folder / name
    shutil.copytree(BUNDLES / name, root, ignore=shutil.ignore_patterns("models", "eval", "mlruns*"))
    return root


def workflow(root: Path, configs: list[str], workflow_type: str = "train", **settings) -> ConfigWorkflow:
    """The workflow of ``configs`` (names without suffix), initialised and with its properties checked."""
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

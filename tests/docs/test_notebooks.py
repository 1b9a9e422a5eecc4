# SPDX-License-Identifier: Apache-2.0
"""The notebooks run from the first cell to the last, and are kept without outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
RUNNER = """
import json, sys

if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        cells = [cell for cell in json.load(file)["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, start=1):
        exec(compile("".join(cell["source"]), f"code cell {number}", "exec"), globals())
"""
"""Runs the code cells one after the other in one process, as a kernel does."""


def executed(name: str, folder: Path) -> str:
    """What a notebook prints; it is run in a folder of its own."""
    (folder / "runner.py").write_text(RUNNER)
    environment = {
        **os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    command = [sys.executable, "runner.py", str(ROOT / "docs" / "notebooks" / name)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_plain_and_without_outputs(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    cells = content["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells) and cells[0]["cell_type"] == "markdown"
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            compile("".join(cell["source"]), path.name, "exec")
    assert path.name in (ROOT / "docs" / "notebooks.md").read_text()


@pytest.mark.slow
def test_the_first_steps_end_with_predictions(tmp_path):
    printed = executed("first_steps.ipynb", tmp_path)
    bundle = tmp_path / "first_steps" / "gcl_segmentation"
    images = list((tmp_path / "first_steps" / "phantom" / "imagesTr").iterdir())
    assert len(list((bundle / "eval").rglob("*_trans.nii.gz"))) == len(images) == 10
    weights = torch.load(bundle / "models" / "model_pretrain_global.pt", weights_only=True)
    assert f"{len(images)} label maps" in printed and f"{len(weights)} tensors" in printed
    scores = pd.read_csv(bundle / "eval" / "metrics.csv")
    assert scores["dice"].mean() > 0.2  # it has begun to learn
    assert list((bundle / "eval" / "figures").glob("eval_overlays.png"))


@pytest.mark.slow
def test_the_study_ends_with_a_report(tmp_path):
    executed("label_efficiency.ipynb", tmp_path)
    root = tmp_path / "label_efficiency" / "study"
    scores = pd.read_csv(root / "scores.csv")
    cells = scores.groupby(["method", "labelled"])["patient"].nunique()
    assert cells.to_dict() == {
        (method, labelled): 6 for method in ("from scratch", "pre-trained") for labelled in (1, 2)
    }
    assert (root / "report.html").is_file() and list((root / "figures").glob("*.png"))

# SPDX-License-Identifier: Apache-2.0
"""The demo in a small form: what it leaves, and that it goes on where it stopped."""

import json
import logging
from pathlib import Path

import pandas as pd
import pytest

from monai_cl_ext import demo

SHORT = {"epochs": 1, "batches_per_epoch": 2}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(demo, "PATIENTS", 8)
    network = {"network_def#features": [4, 8, 8, 8, 8, 4]}
    settings = {"image_size": [32, 32], "pixdim": [5.0, 5.0], **network}
    plan = {"draws": 2, "validation": 2, "test": 2, "settings": settings}
    monkeypatch.setattr(demo, "PLAN", {**demo.PLAN, **plan, "pretrain_settings": SHORT, "train_settings": SHORT})
    yield
    logging.disable(logging.NOTSET)


def interrupt(root: Path, monkeypatch) -> dict[Path, int]:
    """Stops a demo at its first fine-tuning; the weights of its pre-training, and when each was written."""
    run_task = demo.run_task

    def interrupted(folder, **options):
        if "finetune" in str(folder):
            raise KeyboardInterrupt
        return run_task(folder, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(demo, "run_task", interrupted)
        demo.run_demo(root)
    (weights,) = root.rglob("model_pretrain_local.pt")
    return {weights: weights.stat().st_mtime_ns}


@pytest.mark.slow
def test_an_interrupted_demo_goes_on_to_a_table_a_report_and_what_to_type_next(small, tmp_path, monkeypatch, capsys):
    root = tmp_path / "demo"
    before = interrupt(root, monkeypatch)
    page = demo.run_demo(root)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    told = capsys.readouterr().out
    assert "Dice" in told and "--pretrained models/model_pretrain_local.pt" in told and "study run --help" in told
    text = page.read_text(encoding="utf-8")
    assert all(title in text for title in ("Learning curve", "One batch".lower(), "Embeddings".lower(), "Cost"))
    scores = pd.read_csv(root / "scores.csv")
    assert set(scores["method"]) == {"scratch", "pre-trained"} and set(scores["draw"]) == {0, 1}
    assert scores["patient"].nunique() == 2
    begun = {
        path.parent.parent.name + path.parent.name: {
            **json.loads(path.read_text()),
            "labelled": json.loads((path.parent / "train_data.json").read_text())["labelled"],
        }
        for path in root.rglob("train.json")
        if path.parent.name.startswith("labelled")
    }
    assert len(begun) == 4
    for name, settings in begun.items():
        start = settings.get("pretrained", "")
        assert start.endswith("model_pretrain_local.pt") == name.startswith("pre-trained")
        same = begun[name.replace("pre-trained", "scratch")]
        assert settings["labelled"] == same["labelled"] and len({case["patient"] for case in same["labelled"]}) == 2
    others = {str(settings["labelled"]) for settings in begun.values()}
    assert len(others) == 2

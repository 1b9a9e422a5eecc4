# SPDX-License-Identifier: Apache-2.0
"""The demo in a small form: what it leaves, and that it goes on where it stopped."""

import json
from pathlib import Path

import pandas as pd
import pytest

from monai_cl_ext import demo
from monai_cl_ext.study.report.records import read_study
from monai_cl_ext.study.task import run_task, write_task

SHORT = {"epochs": 1, "batches_per_epoch": 2}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(demo, "PATIENTS", 8)
    network = {"network_def#features": [4, 8, 8, 8, 8, 4]}
    settings = {"image_size": [32, 32], "pixdim": [5.0, 5.0], **network}
    plan = {"test": 2, "settings": settings, "pretrain_settings": SHORT, "train_settings": {**SHORT, "batch_size": 4}}
    monkeypatch.setattr(demo, "PLAN", {**demo.PLAN, **plan})


def interrupt(root: Path, monkeypatch) -> dict[Path, int]:
    """Stops a demo behind its pre-training; the weights of it, and when each was written."""

    def interrupted(cells, folder):
        run_task(write_task(cells[0], folder))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(demo, "run_in_pool", interrupted)
        demo.run_demo(root)
    (weights,) = root.rglob("model_pretrain_global.pt")
    return {weights: weights.stat().st_mtime_ns}


@pytest.mark.slow
def test_an_interrupted_demo_goes_on_to_a_table_a_report_and_what_to_type_next(small, tmp_path, monkeypatch, capfd):
    root = tmp_path / "demo"
    before = interrupt(root, monkeypatch)
    capfd.readouterr()
    page = demo.run_demo(root)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    shown = capfd.readouterr()
    assert "monai_cl_ext train DIR" in shown.out and "study run --help" in shown.out
    assert not any(word in shown.out + shown.err for word in ("Warning", "INFO", "fold_0", "labelled_1"))
    means = read_study(root).primary.summary.set_index("method")["mean"]
    for name in demo.PLAN["methods"]:
        (line,) = [line for line in shown.out.splitlines() if line.split("  ")[1:2] == [name]]
        assert f"{means[name]:.3f}" in line
    text = page.read_text(encoding="utf-8")
    assert all(title in text for title in ("Learning curve", "Last checkpoint", "Cost"))
    scores = pd.read_csv(root / "scores.csv")
    assert set(scores["method"]) == {*demo.PLAN["methods"]} and scores["patient"].nunique() == 2


@pytest.mark.slow
def test_all_arms_have_the_same_label_and_the_chain_alone_starts_from_the_pretrained_weights(small, tmp_path):
    root = tmp_path / "demo"
    demo.run_demo(root)
    begun = {
        path.parent.parent.name: path.parent for path in root.rglob("train.json") if "labelled" in str(path.parent)
    }
    begun = {name: folder for name, folder in begun.items() if name in demo.PLAN["methods"]}
    assert set(begun) == {*demo.PLAN["methods"]}
    handed = [json.loads((folder / "train_data.json").read_text()) for folder in begun.values()]
    assert len({str(each["labelled"]) for each in handed}) == 1
    assert len({case["patient"] for case in handed[0]["labelled"]}) == 1 and not handed[0]["split"]["test"]
    for name, folder in begun.items():
        start = json.loads((folder / "train.json").read_text()).get("pretrained", "")
        assert ("model_pretrain_global.pt" in start) == (name == demo.CHAIN)


def test_the_gain_of_each_arm_is_told_against_the_one_before():
    class Primary:
        summary = pd.DataFrame({"method": list(demo.PLAN["methods"]), "mean": [0.5, 0.625, 0.6]})

    class Study:
        primary, scores = Primary, pd.DataFrame({"patient": ["a", "a", "b"]})

    first, *arms = demo.gains(Study).splitlines()
    assert "2 test patients" in first
    assert [arm.split()[-1] for arm in arms] == ["0.500", "+0.125", "-0.025"]

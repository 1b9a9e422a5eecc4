# SPDX-License-Identifier: Apache-2.0
"""The demo in a small form: what it leaves, and that it goes on where it stopped."""

import logging

import pytest

from monai_cl_ext import demo
from monai_cl_ext.visualize import find_runs

SHORT = {"epochs": 1, "batches_per_epoch": 2}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(demo, "PATIENTS", 8)
    network = {"network_def#features": [4, 8, 8, 8, 8, 4]}
    data = {"validation_patients": 2, "test_patients": 2, "image_size": [32, 32], "pixdim": [5.0, 5.0], **network}
    monkeypatch.setattr(demo, "DATA", data)
    for name in ("GLOBAL", "LOCAL", "FINETUNING"):
        monkeypatch.setattr(demo, name, {**getattr(demo, name), **SHORT})
    yield
    logging.disable(logging.NOTSET)


def test_the_demo_ends_in_a_table_a_report_and_what_to_type_next(small, tmp_path, capsys):
    page = demo.run_demo(tmp_path / "demo")
    told = capsys.readouterr().out
    assert page.is_file() and "Mean Dice over volumes" in told and "--pretrained models/model_pretrain_local.pt" in told
    assert "pretrained against scratch: mean Dice" in told
    names = {run.name for run in find_runs(tmp_path / "demo")}
    assert names == {"pretraining/pretrain_global", "pretraining/pretrain_local", "scratch", "pretrained"}
    runs = {run.name: run.stages["train"]["settings"] for run in find_runs(tmp_path / "demo") if "train" in run.stages}
    assert runs["scratch"]["pretrained"] == "" and runs["pretrained"]["pretrained"].endswith("model_pretrain_local.pt")
    assert runs["scratch"]["patients"] == runs["pretrained"]["patients"] and len(runs["scratch"]["patients"]) == 2
    assert runs["pretrained"]["pretrained_blocks"] == 3


def test_an_interrupted_demo_goes_on(small, tmp_path, monkeypatch):
    run_stage = demo.run_stage

    def interrupted(bundle, stages, settings, **options):
        if stages == ["train"]:
            raise KeyboardInterrupt
        return run_stage(bundle, stages, settings, **options)

    monkeypatch.setattr(demo, "run_stage", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo.run_demo(tmp_path)
    weights = tmp_path / "pretraining" / "models" / "model_pretrain_local.pt"
    before = weights.stat().st_mtime_ns
    monkeypatch.setattr(demo, "run_stage", run_stage)
    assert demo.run_demo(tmp_path).is_file()
    assert weights.stat().st_mtime_ns == before

# SPDX-License-Identifier: Apache-2.0
"""What Weights & Biases is sent of a training, and what not; a module in the place of wandb notes the calls."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn
from workflows import SMALL, copy_bundle, run

from monai_cl_ext.data import write_phantom
from monai_cl_ext.handlers import TrackWandB


@pytest.fixture
def wandb(monkeypatch) -> SimpleNamespace:
    """The calls that were made: of init its arguments, of log values by step, of finish how often."""
    calls = SimpleNamespace(init=[], log=[], finished=0)
    module = ModuleType("wandb")
    module.init = lambda **arguments: calls.init.append(arguments)
    module.log = lambda values, step: calls.log.append((step, values))

    def finish() -> None:
        calls.finished += 1

    module.finish = finish
    monkeypatch.setitem(sys.modules, "wandb", module)
    return calls


SETTINGS = {
    "patients": ["patient001"], "split": {"train": ["patient002"]}, "pretrained": "/home/me/model.pt", "seed": 3,
    "image_size": [32, 32], "amp": False, "loss": nn.MSELoss(), "no_list": [1, "patient003"], "nothing": None,
}  # fmt: skip


def trained(tmp_path, runs: int = 1) -> Engine:
    """Two epochs of four steps whose loss is their number, validated after each epoch by the epoch's number."""
    trainer = Engine(lambda engine, batch: [{"loss": torch.tensor(float(engine.state.iteration))}])
    evaluator = Engine(lambda engine, batch: engine.state.metrics.update(dice=float(trainer.state.epoch)))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([0]))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    folder = tmp_path / "eval"
    TrackWandB(evaluator, optimizer, 2, SETTINGS, {"project": "p", "dir": str(folder)}).attach(trainer)
    for _ in range(runs):
        trainer.run(range(4), max_epochs=2)
    return trainer


def test_curves_stand_over_the_steps_of_the_training(wandb, tmp_path):
    trained(tmp_path)
    named = [(step, name, value) for step, values in wandb.log for name, value in values.items()]
    assert [(step, value) for step, name, value in named if name == "train/loss"] == [(2, 2), (4, 4), (6, 6), (8, 8)]
    assert [(step, value) for step, name, value in named if name == "validation/dice"] == [(4, 1), (8, 2)]
    rates = [value for _, name, value in named if name.startswith("lr")]
    assert rates == [0.5] * 4 and all(isinstance(value, float) for _, _, value in named)
    steps = [step for step, _ in wandb.log]
    assert steps == sorted(steps)  # Weights & Biases drops what goes back
    assert wandb.finished == 1 and (tmp_path / "eval").is_dir()


def test_no_text_of_the_settings_leaves(wandb, tmp_path):
    trained(tmp_path)
    (arguments,) = wandb.init
    told = arguments.pop("config")
    assert told == {"seed": 3, "image_size": [32, 32], "amp": False, "loss": "MSELoss"}
    assert arguments == {"project": "p", "dir": str(tmp_path / "eval")}


def test_each_run_of_an_engine_is_one_of_wandb_and_logged_once(wandb, tmp_path):
    trained(tmp_path, runs=2)
    assert len(wandb.init) == wandb.finished == 2
    assert len([values for _, values in wandb.log if "train/loss" in values]) == 8


def test_other_processes_log_nothing(wandb, tmp_path, monkeypatch):
    monkeypatch.setattr("monai_cl_ext.handlers.track_wandb.rank", lambda: 1)
    trained(tmp_path)
    assert not wandb.init and not wandb.log


def test_without_wandb_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match=r"TrackWandB: needs wandb: pip install 'monai-cl-ext\[wandb\]'"):
        trained(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("bundle, stage", [("gcl_segmentation", "pretrain_global"), ("bcp_segmentation", "train")])
def test_one_overlay_tracks_a_stage(bundle, stage, wandb, tmp_path):
    data = write_phantom(tmp_path / "phantom", patients=8, seed=0)
    root = copy_bundle(bundle, tmp_path)
    labels = {"labelled_patients": 2} if stage == "train" else {}
    run(root, [stage, "track_wandb"], dataset_dir=str(data), batch_size=4, **SMALL, **labels)
    (arguments,) = wandb.init
    assert arguments["project"] == "monai_cl_ext" and arguments["job_type"] == stage
    assert arguments["dir"].startswith(str(root / "eval")) and arguments["settings"] == {"console": "off"}
    assert arguments["config"]["epochs"] == 2 and "patient0" not in str(arguments["config"])
    assert sum("train/loss" in values for _, values in wandb.log) == 6
    scores = [set(values) for _, values in wandb.log if any(name.startswith("validation/") for name in values)]
    assert len(scores) == 2 and wandb.finished == 1
    assert ("validation/mean_dice" if stage == "train" else "validation/partition_probe") in scores[0]

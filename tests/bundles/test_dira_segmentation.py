# SPDX-License-Identifier: Apache-2.0
"""The DiRA bundle: both stages of pre-training on a small phantom, resumed, and what fine-tuning takes of them."""

import traceback
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.networks.nets import BasicUNet
from workflows import SMALL, copy_bundle, parsed, run, workflow

from monai_cl_ext.data import write_phantom
from monai_cl_ext.methods import DiRA
from monai_cl_ext.transforms import Mirror, OneOperation

NAME = "dira_segmentation"
STAGES = ["pretrain_dir", "pretrain_dira"]
SMALL = {**SMALL, "batch_size": 4, "queue_size": 16}
SETTINGS = {"pretrain_dir": SMALL, "pretrain_dira": {**SMALL, "discriminator_width": 4}}
TERMS = {"pretrain_dir": {"contrast", "restoration"}}
TERMS["pretrain_dira"] = TERMS["pretrain_dir"] | {"adversarial", "discriminator"}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder / "data", patients=9, seed=0)
    return str(folder / "data")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, phantom) -> Path:
    """The bundle after both stages."""
    root = copy_bundle(NAME, tmp_path_factory.mktemp(NAME))
    for stage in STAGES:
        run(root, [stage], dataset_dir=phantom, **SETTINGS[stage])
    return root


def test_the_papers_weights_and_optimizer(tmp_path):
    first = parsed(NAME, "pretrain_dir").get_parsed_content("method")
    second = parsed(NAME, "pretrain_dira", pretrained="").get_parsed_content("method")
    for method in (first, second):
        assert type(method) is DiRA and method.moco.loss.temperature == 0.2
        weights = method.contrast_weight, method.restoration_weight, method.adversarial_weight
        assert weights == (1, 10, 0.001)
    assert first.adversary is None and second.adversary.discriminator[0].conv.out_channels == 32
    optimizer = second.adversary.optimizer
    assert type(optimizer) is torch.optim.Adam
    assert (optimizer.defaults["lr"], tuple(optimizer.defaults["betas"])) == (2e-4, (0.5, 0.999))


@pytest.mark.parametrize("stage", STAGES)
def test_the_copy_is_distorted_in_the_crop_and_flip_of_its_target(stage):
    parser = parsed(NAME, stage, pretrained="")
    views = parser.get_parsed_content("train#views")
    assert views.made_from == [None, 0, None]
    clean, copy, other = (policy.operations for policy in views.policies)
    assert [type(each) for each in clean][-1] is Mirror and len(clean) == 2
    assert all(
        type(policy[-1]) is OneOperation and policy[-1].probabilities == [0.3, 0.05, 0.3] for policy in (copy, other)
    )
    assert len(other) == len(clean) + len(copy)


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_leaves_weights_curves_and_a_batch(stage, pretrained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    state = torch.load(pretrained / "models" / f"model_{stage}.pt", weights_only=True)
    assert set(state) == set(BasicUNet(2, 1, 4, features=[4, 8, 8, 8, 8, 4], norm="batch").state_dict())
    events = EventAccumulator(str(pretrained / "eval" / stage))
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    assert {"train_loss", "partition_probe", "effective_rank_score"} <= scalars
    assert {
        name for name in ("contrast", "restoration", "adversarial", "discriminator") if f"train_{name}" in scalars
    } == (TERMS[stage])
    batch = torch.load(pretrained / "eval" / stage / "batch.pt", weights_only=True)
    assert len(batch["views"]) == 3 and "positive" not in batch


def parts_unlike(one: dict, other: dict) -> set[str]:
    return {name.split(".")[0] for name in one if not torch.equal(one[name], other[name])}


def test_the_second_stage_and_fine_tuning_start_from_encoder_and_decoder(pretrained):
    features = {"network_def#features": SMALL["network_def#features"], "bundle_root": str(pretrained)}
    last = str(pretrained / "models" / "model_pretrain_dira.pt")
    for before, config, given in (
        ("pretrain_dir", "pretrain_dira", {}),
        ("pretrain_dira", "train", {"pretrained": last}),
    ):
        net = parsed(NAME, config, **features, **given).get_parsed_content("initial_network")
        saved = torch.load(pretrained / "models" / f"model_{before}.pt", weights_only=True)
        assert parts_unlike(net.state_dict(), saved) == {"final_conv"}, config
    first, second = (torch.load(pretrained / "models" / f"model_{stage}.pt", weights_only=True) for stage in STAGES)
    assert {"conv_0", "down_4", "upcat_4", "upcat_1"} <= parts_unlike(first, second)


class Stopped(Exception):
    """What ends a run in the middle."""


def stop(engine) -> None:
    raise Stopped


def test_a_resumed_second_stage_ends_as_one_in_a_single_go(pretrained, phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    settings = {"dataset_dir": phantom, **SETTINGS["pretrain_dira"]}
    settings["pretrained"] = str(pretrained / "models" / "model_pretrain_dir.pt")
    whole = run(root, ["pretrain_dira"], **settings, ckpt_dir=str(tmp_path / "whole"))
    broken = workflow(root, ["pretrain_dira"], **settings)
    broken.trainer.add_event_handler(Events.EPOCH_STARTED(once=2), stop)
    with pytest.raises(RuntimeError) as raised:
        broken.run()
    assert "Stopped" in "".join(traceback.format_exception(raised.value))
    resumed = run(root, ["pretrain_dira"], **settings, resume=True)
    states = [flow.parser.get_parsed_content("method").state_dict() for flow in (whole, resumed)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    moments = [
        flow.parser.get_parsed_content("method").adversary.optimizer.state_dict()["state"] for flow in (whole, resumed)
    ]
    assert all(torch.equal(value, moments[1][index][name])
               for index, each in moments[0].items() for name, value in each.items())  # fmt: skip


@pytest.mark.slow
def test_the_pretrained_network_is_trained_and_scored(pretrained, phantom):
    file = f"{pretrained}/models/model_pretrain_dira.pt"
    small = {key: value for key, value in SMALL.items() if key != "queue_size"}
    run(pretrained, ["train"], dataset_dir=phantom, **small, pretrained=file)
    run(pretrained, ["train", "evaluate"], dataset_dir=phantom, **small)
    assert (pretrained / "eval" / "metrics.csv").is_file()

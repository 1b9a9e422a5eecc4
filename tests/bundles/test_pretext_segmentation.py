# SPDX-License-Identifier: Apache-2.0
"""The pretext bundle: every pretext task and fine-tuning overlay on a small phantom."""

import shutil
import traceback
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.networks.nets import BasicUNet
from workflows import BUNDLES, SMALL, copy_bundle, parsed, run, workflow

from monai_cl_ext.data import find_cases, write_phantom
from monai_cl_ext.methods import Restoration, RotationPrediction
from monai_cl_ext.networks import GCLUNet
from monai_cl_ext.transforms import BoxErasing, PatchSwapping

NAME = "pretext_segmentation"
CONFIGS = BUNDLES / NAME / "configs"
PRETEXTS = ["rotation", "inpainting", "context_restoration"]
SMALL = {**SMALL, "batch_size": 4}
BLOCKS = [f"upcat_{number}.convs.conv_0.conv.weight" for number in (4, 3, 2, 1)]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder / "data", patients=9, seed=0)
    return folder / "data"


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, phantom) -> dict[str, Path]:
    """For each pretext task the bundle after its pre-training."""
    roots = {}
    for pretext in PRETEXTS:
        roots[pretext] = copy_bundle(NAME, tmp_path_factory.mktemp(pretext))
        run(roots[pretext], ["pretrain", f"pretext_{pretext}"], dataset_dir=str(phantom), **SMALL)
    return roots


# files, metadata, configs


@pytest.mark.parametrize("pretext", PRETEXTS)
@pytest.mark.parametrize("network, count", [([], 4), (["network_gcl"], 5)])
def test_an_overlay_sets_the_task_and_the_blocks_that_it_trains(pretext, network, count):
    parser = parsed(NAME, "pretrain", *network, f"pretext_{pretext}", device=SMALL["device"])
    method = parser.get_parsed_content("method")
    assert isinstance(method, RotationPrediction if pretext == "rotation" else Restoration)
    policies = parser.get_parsed_content("policies")
    operations = [type(operation) for policy in policies for operation in policy.operations]
    kinds = {"rotation": [], "inpainting": [BoxErasing], "context_restoration": [PatchSwapping]}
    assert operations == kinds[pretext]
    assert parser.get_parsed_content("trained_blocks") == (count if pretext == "inpainting" else 0)


def test_one_key_chooses_the_task_and_a_wrong_one_is_refused():
    for pretext, kind in (("rotation", RotationPrediction), ("inpainting", Restoration)):
        assert isinstance(parsed(NAME, "pretrain", pretext=pretext).get_parsed_content("method"), kind)
    with pytest.raises(RuntimeError) as raised:
        parsed(NAME, "pretrain", pretext="jigsaw").get_parsed_content("method")
    message = "".join(traceback.format_exception(raised.value))
    assert "pretext must be one of 'rotation', 'inpainting', 'context_restoration', found 'jigsaw'" in message


def test_the_papers_settings():
    parser = parsed(NAME, "pretrain", "pretext_context_restoration", "paper_acdc")
    assert isinstance(parser.get_parsed_content("method").stages.network, GCLUNet)
    operation = parser.get_parsed_content("patch_swapping")
    assert (operation.swaps, operation.fractions) == (10, (5 / 192,) * 2)
    assert parser.get_parsed_content("box_erasing").fraction == 100 / 192
    assert (parser["batch_size"], parser["epochs"] * parser["batches_per_epoch"]) == (20, 10_000)


# the stages


@pytest.mark.parametrize("pretext", PRETEXTS)
def test_pretraining_leaves_weights_curves_and_a_batch(pretext, pretrained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    root = pretrained[pretext]
    state = torch.load(root / "models" / "model_pretrain.pt", weights_only=True)
    assert set(state) == set(BasicUNet(2, 1, 4, features=[4, 8, 8, 8, 8, 4], norm="batch").state_dict())
    events = EventAccumulator(str(root / "eval" / "pretrain"))
    events.Reload()
    part = "train_accuracy" if pretext == "rotation" else "train_unrestored"
    assert {"train_loss", part, "partition_probe", "effective_rank_score"} <= set(events.Tags()["scalars"])
    assert len(events.Scalars("partition_probe")) == SMALL["epochs"]
    batch = torch.load(root / "eval" / "pretrain" / "batch.pt", weights_only=True)
    assert batch["view_names"] == ["original"] if pretext == "rotation" else ["original", "view 1"]
    assert "positive" not in batch


@pytest.mark.parametrize("pretext", PRETEXTS)
def test_finetuning_takes_the_blocks_that_the_weights_tell(pretext, pretrained, tmp_path):
    """Whatever the file is called, and wherever it lies."""
    path = tmp_path / "renamed.pt"
    shutil.copy(pretrained[pretext] / "models" / "model_pretrain.pt", path)
    features = {"network_def#features": SMALL["network_def#features"]}
    net = parsed(NAME, "train", pretrained=str(path), **features).get_parsed_content("initial_network")
    before, state = torch.load(path, weights_only=True), net.state_dict()
    assert torch.equal(state["down_4.convs.conv_0.conv.weight"], before["down_4.convs.conv_0.conv.weight"])
    assert [torch.equal(state[name], before[name]) for name in BLOCKS] == [pretext == "inpainting"] * 4
    assert not torch.equal(state["final_conv.weight"], before["final_conv.weight"])
    other = parsed(NAME, "train", pretrained=str(path), pretrained_blocks=1, **features)
    state = other.get_parsed_content("initial_network").state_dict()
    assert [torch.equal(state[name], before[name]) for name in BLOCKS] == [True, False, False, False]


# Mixup and self-training


class Stopped(Exception):
    """What ends a run in the middle."""


def stop(engine) -> None:
    raise Stopped


@pytest.mark.slow
@pytest.mark.parametrize("overlays", [["mixup"], ["self_training"], ["mixup", "self_training"]])
def test_a_stopped_finetuning_resumes_to_the_weights_of_an_uninterrupted_one(overlays, phantom, tmp_path):
    """Labels of self-training are predicted at the second, third and fourth epoch, so the fifth has to know them."""
    weights = []
    for stopped in (False, True):
        root = copy_bundle(NAME, tmp_path / str(stopped))
        settings = {"dataset_dir": str(phantom), "labelled_patients": 2, **SMALL, "epochs": 5}
        if stopped:
            flow = workflow(root, ["train", *overlays], **settings)
            flow.trainer.add_event_handler(Events.EPOCH_COMPLETED(once=4), stop)
            with pytest.raises(RuntimeError) as raised:
                flow.run()
            assert "Stopped" in "".join(traceback.format_exception(raised.value))
            settings["resume"] = True
        flow = run(root, ["train", *overlays], **settings)
        assert flow.trainer.state.epoch == 5
        weights.append(torch.load(root / "models" / "model_final.pt", weights_only=True))
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_self_training_sees_all_pretraining_patients_and_labels_those_without_labels(phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    settings = {"dataset_dir": str(phantom), "labelled_patients": 2, **SMALL, "epochs": 4}
    flow = run(root, ["train", "self_training"], **settings)
    split, dataset = (flow.parser.get_parsed_content(name) for name in ("split", "train#dataset"))
    labelled = {case["patient"] for case in flow.parser.get_parsed_content("labelled")}
    assert len(labelled) == 2 and set(dataset.labelled.patients) == labelled
    assert set(dataset.unlabelled.patients) == {case["patient"] for case in split["pretrain"]} - labelled
    assert len(dataset) == len(dataset.labelled) + len(dataset.unlabelled)
    assert dataset.predicted.shape == (len(dataset.unlabelled), 1, 32, 32) and dataset.predicted.max() < 4
    (factor,) = flow.parser.get_parsed_content("lr_scheduler").lr_lambdas
    assert [factor(phase * SMALL["batches_per_epoch"]) for phase in range(5)] == [1, 1, 1, 1, pytest.approx(0)]
    run(
        root, ["train", "evaluate", "self_training"], **settings
    )  # a study lays a method's overlays over this stage too
    assert (root / "eval" / "metrics.csv").is_file()


def test_mixup_and_self_training_are_guarded_by_resume(phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    settings = {"dataset_dir": str(phantom), "labelled_patients": 2, **SMALL, "epochs": 4}
    run(root, ["train", "mixup", "self_training"], **settings)
    for change in ({"mixup_alpha": 0.4}, {"rounds": 2}):
        with pytest.raises(RuntimeError) as raised:
            workflow(root, ["train", "mixup", "self_training"], resume=True, **settings, **change)
        assert "was saved by a run with other settings" in "".join(traceback.format_exception(raised.value))


def test_self_training_takes_volumes_without_labels(phantom, tmp_path):
    """Labels of all but two patients are hidden."""
    cases = find_cases(phantom)
    split = {"pretrain": [{key: case[key] for key in ("image", "patient")} for case in cases[2:5]],
             "train": cases[:2], "validation": cases[5:7], "test": cases[7:]}  # fmt: skip
    root = copy_bundle(NAME, tmp_path)
    settings = {key: value for key, value in SMALL.items() if not key.endswith("_patients")}
    flow = run(root, ["train", "self_training"], split=split, dataset_dir=str(phantom), **{**settings, "epochs": 4})
    dataset = flow.parser.get_parsed_content("train#dataset")
    assert dataset.unlabelled.patients == [case["patient"] for case in cases[2:5]] and len(dataset.predicted) > 0

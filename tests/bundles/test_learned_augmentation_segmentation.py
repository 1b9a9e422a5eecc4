# SPDX-License-Identifier: Apache-2.0
"""The bundle of learned augmentation: its three stages on a phantom, what each leaves, resume, and what is served."""

import shutil
from pathlib import Path

import nibabel as nib
import pytest
import torch
from ignite.engine import Events
from monai.networks.nets import BasicUNet
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from workflows import SMALL, copy_bundle, message_of, parsed, read, run, workflow

from monai_cl_ext.csv_files import read_rows
from monai_cl_ext.data import write_phantom
from monai_cl_ext.methods import AugmentedTraining, LearnedAugmentation, Mixup
from monai_cl_ext.networks import DeformationGenerator, IntensityGenerator

NAME = "learned_augmentation_segmentation"
SMALL = {**SMALL, "batch_size": 4, "labelled_patients": 2}
WARM_UP = 1  # steps
STAGES = {"train_deformation": DeformationGenerator, "train_intensity": IntensityGenerator}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom") / "data", patients=9, seed=0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, phantom):
    """The bundle after all stages, and their workflows."""
    root = copy_bundle(NAME, tmp_path_factory.mktemp(NAME))
    settings = {"train": SMALL, **{stage: {**SMALL, "warm_up_steps": WARM_UP} for stage in STAGES}}
    return root, {
        stage: run(root, [stage], dataset_dir=str(phantom), **settings[stage]) for stage in (*STAGES, "train")
    }


def test_the_stages_stand_in_metadata_and_have_the_papers_weights():
    assert read(NAME, "metadata")["train_stages"] == [*STAGES, "train"]
    for stage, kind in STAGES.items():
        parser = parsed(NAME, stage, device="cpu")
        method = parser.get_parsed_content("method")
        assert type(method) is LearnedAugmentation and type(method.generator) is kind
        assert (method.consistency_weight, method.reward, method.released_detached) == (1, 0.001, False)
        assert method.labelled_per_batch == 6 and method.warm_up_steps == 20
        optimizer = method.adversary.optimizer
        assert type(optimizer) is torch.optim.Adam and optimizer.defaults["lr"] == parser["learning_rate"] == 1e-3
        assert tuple(optimizer.defaults["betas"]) == (0.9, 0.999)
        assert getattr(method.generator, "maximum", None) is None


def test_each_stage_leaves_a_generator_and_the_last_one_the_stock_network(trained):
    root, flows = trained
    for stage, kind in STAGES.items():
        for file in (f"model_{stage}.pt", f"model_{stage}_final.pt"):
            kind(32).load_state_dict(torch.load(root / "models" / file, weights_only=True), strict=True)
        final = torch.load(root / "models" / f"model_{stage}_final.pt", weights_only=True)
        method = flows[stage].parser.get_parsed_content("method")
        assert all(torch.equal(value, method.generator.state_dict()[key]) for key, value in final.items())
        (losses,) = flows[stage].trainer.state.output
        assert {"adversarial", "discriminator"} < set(losses) and all(map(torch.isfinite, losses.values()))
        assert (root / "eval" / stage / f"run_{stage}.json").is_file()
    stock = BasicUNet(2, 1, 4, features=SMALL["network_def#features"], norm="batch")
    for file in ("model.pt", "model_final.pt"):
        stock.load_state_dict(torch.load(root / "models" / file, weights_only=True), strict=True)
    assert (root / "eval" / "run_train.json").is_file()


def test_the_parts_of_the_loss_and_what_fields_do_are_logged(trained):
    root, _ = trained
    losses, deformed, changed = {"adversarial", "discriminator", "supervised"}, {"displacement", "folded"}, {"change"}
    for folder, told, parts, steps in (
        ("train_deformation", deformed, losses, 6 - WARM_UP),
        ("train_intensity", changed, losses, 6 - WARM_UP),
        ("", deformed | changed, set(), 6),
    ):
        tags = {}
        for file in (root / "eval" / folder).glob("events.out.tfevents*"):
            events = EventAccumulator(str(file)).Reload()
            tags |= {tag: len(events.Scalars(tag)) for tag in events.Tags()["scalars"]}
        assert told | parts | {"train_loss"} <= set(tags)
        assert all(tags[tag] == steps for tag in told)


def test_the_optimizer_counts_no_step_of_the_generator_in_the_warm_up(trained):
    for stage in STAGES:
        method, optimizer = (trained[1][stage].parser.get_parsed_content(name) for name in ("method", "optimizer"))
        steps = {
            name: {int(optimizer.state[each]["step"]) for each in module.parameters()}
            for name, module in (("network", method.network), ("generator", method.generator))
        }
        (whole,) = steps["network"]
        assert steps["generator"] == {whole - WARM_UP} and whole > WARM_UP


def test_the_last_stage_trains_on_the_generators_of_the_others_and_leaves_them_alone(trained):
    root, flows = trained
    method = flows["train"].parser.get_parsed_content("method")
    assert type(method) is AugmentedTraining
    for stage, generator in zip(STAGES, (method.deformation, method.intensity), strict=True):
        written = torch.load(root / "models" / f"model_{stage}.pt", weights_only=True)
        assert all(torch.equal(value, written[key]) for key, value in generator.state_dict().items())
    (losses,) = flows["train"].trainer.state.output
    assert set(losses) == {"loss", "displacement", "folded", "change"}
    dataset = flows["train"].parser.get_parsed_content("train#dataset")
    labelled = {case["patient"] for case in flows["train"].parser.get_parsed_content("labelled")}
    assert set(dataset.patients) == labelled
    seen = set(flows["train_deformation"].parser.get_parsed_content("train#dataset").patients)
    split = flows["train_deformation"].parser.get_parsed_content("split")
    assert labelled < seen == {case["patient"] for case in split["pretrain"]} | labelled


def test_the_last_stage_without_the_others_says_what_is_missing(phantom, tmp_path):
    with pytest.raises(RuntimeError) as raised:
        workflow(copy_bundle(NAME, tmp_path), ["train"], dataset_dir=str(phantom), **SMALL)
    assert "model_train_deformation.pt" in message_of(raised)


def test_an_evaluation_needs_no_generator(trained, phantom, tmp_path):
    for file in ("model_train_deformation.pt", "model_train_intensity.pt"):
        assert (trained[0] / "models" / file).is_file()
    root = copy_bundle(NAME, tmp_path)
    (root / "models").mkdir(exist_ok=True)
    shutil.copy(trained[0] / "models" / "model.pt", root / "models")
    parser = parsed(NAME, "train", "evaluate", bundle_root=str(root), dataset_dir=str(phantom), **SMALL)
    parser.get_parsed_content("run")  # as monai.bundle run does, which asks for no property of a training
    assert (root / "eval" / "metrics.csv").is_file()


def test_mixup_is_for_the_stage_that_mixes():
    assert read(NAME, "metadata")["overlays"]["mixup"]["stages"] == ["train"]


def test_mixup_comes_on_top():
    files = {"model_train_deformation": "", "model_train_intensity": "", "device": "cpu"}
    method = parsed(NAME, "train", "mixup", **files).get_parsed_content("method")
    assert type(method) is AugmentedTraining and type(method.supervised) is Mixup
    assert method.supervised.alpha == 0.1


def test_displacements_are_clipped_in_both_stages_that_make_them():
    files = {"model_train_deformation": "", "model_train_intensity": "", "device": "cpu", "maximum": 10.0}
    for stage, part in (("train_deformation", "generator"), ("train", "deformation")):
        assert getattr(parsed(NAME, stage, **files).get_parsed_content("method"), part).maximum == 10


def test_other_sizes_are_refused(phantom, tmp_path):
    with pytest.raises(RuntimeError) as raised:
        settings = {**SMALL, "image_size": [40, 32]}
        workflow(copy_bundle(NAME, tmp_path), ["train_deformation"], dataset_dir=str(phantom), **settings)
    assert "image_size must be multiples of 32" in message_of(raised)


class Interrupted(Exception):
    """Stands for a machine that stops."""


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupted_stage_ends_as_an_uninterrupted_one(stage, phantom, tmp_path):
    settings = {"dataset_dir": str(phantom), **SMALL, "epochs": 4, "warm_up_steps": 2}
    whole, stopped = (copy_bundle(NAME, tmp_path / kind) for kind in ("whole", "stopped"))
    run(whole, [stage], **settings)
    flow = workflow(stopped, [stage], **settings)

    @flow.trainer.on(Events.ITERATION_COMPLETED(once=8))
    def interrupt():
        raise Interrupted

    with pytest.raises(RuntimeError) as raised:
        flow.run()
    assert "Interrupted" in message_of(raised)
    run(stopped, [stage], **settings, resume=True)
    for file in (f"model_{stage}.pt", f"model_{stage}_final.pt", f"resume_{stage}/resume_checkpoint_4.pt"):
        one, other = (torch.load(root / "models" / file, weights_only=True) for root in (whole, stopped))
        moments = [state.get("method_discriminator", {"state": {}})["state"] for state in (one, other)]
        one, other = one.get("method", one), other.get("method", other)
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one), file
        for index, state in moments[0].items():
            assert all(torch.equal(value, moments[1][index][name]) for name, value in state.items())
    assert moments[0]


@pytest.mark.slow
def test_the_trained_network_is_scored_and_served(trained, phantom):
    root, flows = trained
    tested = flows["train"].parser.get_parsed_content("split")["test"]
    run(root, ["train", "evaluate"], dataset_dir=str(phantom), **SMALL)
    rows = read_rows(root / "eval" / "metrics.csv")
    assert len(rows) == len(tested) * 3 and all(0 <= float(row["dice"]) <= 1 for row in rows)
    sizes = {key: SMALL[key] for key in ("device", "image_size", "pixdim", "network_def#features")}
    run(root, ["inference"], "infer", dataset_dir=str(phantom), datalist=[case["image"] for case in tested], **sizes)
    for case in tested:
        (served,) = (root / "eval").rglob(f"{Path(case['image']).name.split('.')[0]}_trans.nii.gz")
        assert nib.load(served).shape == nib.load(case["image"]).shape and (nib.load(served).get_fdata() < 4).all()

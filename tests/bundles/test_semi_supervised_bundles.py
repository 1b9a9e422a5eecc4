# SPDX-License-Identifier: Apache-2.0
"""The bundles that train without a pre-training stage of their own: from the batch to the served label map."""

import json
from pathlib import Path

import nibabel as nib
import pytest
import torch
from ignite.engine import Events
from monai.networks.nets import BasicUNet
from workflows import SMALL, copy_bundle, message_of, parsed, run, workflow

from monai_cl_ext.csv_files import read_rows
from monai_cl_ext.data import write_phantom
from monai_cl_ext.losses import sigmoid_ramp_up
from monai_cl_ext.methods import (
    BCP,
    DAN,
    DTC,
    UAMT,
    URPC,
    CauSSL,
    CrossPseudoSupervision,
    EMASelfTraining,
    MCNet,
    MeanTeacher,
    SASSNet,
    Supervised,
    UniMatch,
)

SMALL = {**SMALL, "batch_size": 4, "labelled_patients": 2}
KINDS = {
    "supervised_segmentation": Supervised,
    "mean_teacher_segmentation": MeanTeacher,
    "ua_mt_segmentation": UAMT,
    "urpc_segmentation": URPC,
    "mcnet_segmentation": MCNet,
    "cps_segmentation": CrossPseudoSupervision,
    "bcp_segmentation": BCP,
    "dan_segmentation": DAN,
    "unimatch_segmentation": UniMatch,
    "caussl_segmentation": CauSSL,
    "dtc_segmentation": DTC,
    "sassnet_segmentation": SASSNet,
    "self_training_segmentation": EMASelfTraining,
}
MIXED = [name for name in KINDS if name != "supervised_segmentation"]
PARTNERS = {
    "mean_teacher_segmentation": "teacher.network", "bcp_segmentation": "teacher.network",
    "self_training_segmentation": "teacher.network", "ua_mt_segmentation": "teacher.network",
    "unimatch_segmentation": "teacher.network",
    "cps_segmentation": "second", "caussl_segmentation": "second",
}  # fmt: skip
"""The other network of a method, by its name in the method."""
HEADS = {
    "urpc_segmentation": {"heads"},
    "mcnet_segmentation": {"decoders"},
    "caussl_segmentation": {"adversary"},
    "dan_segmentation": {"adversary"},
    "dtc_segmentation": {"head"},
    "sassnet_segmentation": {"head", "adversary"},
}
"""What else a method trains and throws away."""
RAMPED = [
    f"{name}_segmentation"
    for name in ("mean_teacher", "ua_mt", "urpc", "mcnet", "cps", "caussl", "dan", "dtc", "sassnet")
]
STEPS = SMALL["epochs"] * SMALL["batches_per_epoch"]


def network() -> BasicUNet:
    """The stock network of the small bundles."""
    return BasicUNet(2, 1, 4, features=SMALL["network_def#features"], norm="batch")


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom") / "data", patients=9, seed=0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory, phantom) -> str:
    """What another bundle has pre-trained."""
    root = copy_bundle("simclr_segmentation", tmp_path_factory.mktemp("pretrained"))
    short = {name: value for name, value in SMALL.items() if name != "labelled_patients"}
    run(root, ["pretrain"], dataset_dir=str(phantom), **{**short, "epochs": 1, "batches_per_epoch": 1})
    return f"{root}/models/model_pretrain.pt"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, phantom, weights) -> dict[str, object]:
    """The workflow of each bundle, which has trained from these weights; made when asked for."""
    done = {}

    def train(name: str):
        if name not in done:
            root = copy_bundle(name, tmp_path_factory.mktemp(name))
            flow = workflow(root, ["train"], dataset_dir=str(phantom), pretrained=weights, **SMALL)
            method = flow.parser.get_parsed_content("method")
            started = {key: value.clone() for key, value in method.state_dict().items()}
            flow.run()
            flow.finalize()
            done[name] = root, flow, method, started
        return done[name]

    return train


@pytest.mark.parametrize("name", KINDS)
def test_the_method_is_the_bundles_and_half_of_a_batch_is_labeled(name):
    parser = parsed(name, "train", device="cpu")
    method = parser.get_parsed_content("method")
    assert type(method) is KINDS[name] and parser["batch_size"] == 12
    if name in MIXED:
        assert method.labelled_per_batch == 6
        names = {"train#dataset": type("Rows", (), {"labelled_rows": range(9), "unlabelled_rows": range(9, 40)})()}
        first = next(iter(parsed(name, "train", **names).get_parsed_content("train#sampler")))
        assert [row < 9 for row in first] == [True] * 6 + [False] * 6


@pytest.mark.parametrize("name", KINDS)
def test_training_changes_every_part_and_leaves_the_plain_weights_of_the_stock_network(name, trained, weights):
    root, flow, method, started = trained(name)
    for file in ("model.pt", "model_final.pt"):
        network().load_state_dict(torch.load(root / "models" / file, weights_only=True), strict=True)
    final, given = (torch.load(path, weights_only=True) for path in (root / "models" / "model_final.pt", weights))
    assert all(torch.equal(value, method.network.state_dict()[key]) for key, value in final.items())
    encoder = [key for key in given if key.startswith(("conv_0", "down_"))]
    for part in filter(None, ("network", PARTNERS.get(name))):
        assert all(torch.equal(started[f"{part}.{key}"], given[key]) for key in encoder), part
        assert any(not torch.equal(started[f"{part}.{key}"], method.state_dict()[f"{part}.{key}"]) for key in encoder)
    if name in ("cps_segmentation", "caussl_segmentation"):
        assert not torch.equal(started["network.final_conv.weight"], started["second.final_conv.weight"])
    moved = {key for key, value in started.items() if not torch.equal(value, method.state_dict()[key])}
    for part in HEADS.get(name, set()) & {"heads", "decoders", "head"}:
        held = {key for key, _ in getattr(method, part).named_parameters()}
        assert held and {f"{part}.{key}" for key in held} <= moved
    (losses,) = flow.trainer.state.output
    assert set(losses) >= ({"loss"} if name not in MIXED else {"loss", "supervised", "consistency"})
    assert all(torch.isfinite(value) for value in losses.values())


@pytest.mark.parametrize("name", KINDS)
def test_unlabeled_rows_are_of_patients_that_are_neither_labeled_nor_held_out(name, trained):
    root, flow, _, _ = trained(name)
    split, labelled = (flow.parser.get_parsed_content(key) for key in ("split", "labelled"))
    patients = {part: {case["patient"] for case in cases} for part, cases in (*split.items(), ("labelled", labelled))}
    dataset = flow.parser.get_parsed_content("train#dataset")
    others = patients["pretrain"] - patients["labelled"] if name in MIXED else set()
    assert len(patients["labelled"]) == 2 and set(dataset.patients) == patients["labelled"] | others
    assert not set(dataset.patients) & (patients["validation"] | patients["test"])
    record = json.loads((root / "eval" / "run_train.json").read_text())
    if name in MIXED:
        assert record["settings"]["unlabelled"] == sorted(others)
        assert {int(item) for row in dataset.unlabelled_rows[:3] for item in dataset[row]["label"].unique()} == {255}


@pytest.mark.parametrize("name", ["supervised_segmentation", "bcp_segmentation"])
def test_amp_trains_in_bfloat16_and_is_recorded(name, phantom, tmp_path, monkeypatch):
    monkeypatch.setattr("monai_cl_ext.engines.precision.computes_bfloat16", lambda device: True)
    root, short = copy_bundle(name, tmp_path), {**SMALL, "epochs": 1, "batches_per_epoch": 1}
    flow = workflow(root, ["train"], dataset_dir=str(phantom), amp=True, **short)
    types = []
    layer = flow.parser.get_parsed_content("method").network.final_conv
    layer.register_forward_hook(lambda layer, inputs, output: types.append((layer.training, output.dtype)))
    flow.run()
    flow.finalize()
    assert {kind for training, kind in types if training} == {torch.bfloat16}
    assert layer.weight.dtype == torch.float32 and torch.isfinite(flow.trainer.state.output[0]["loss"])
    assert json.loads((root / "eval" / "run_train.json").read_text())["settings"]["amp"] is True


@pytest.mark.parametrize("name", MIXED)
def test_the_weight_of_unlabeled_rows_follows_its_schedule(name, trained):
    _, flow, method, _ = trained(name)
    expected = flow.parser.get_parsed_content("consistency_weight")
    if name in RAMPED:
        steps = 6 * STEPS // 5 if name == "caussl_segmentation" else STEPS
        assert method.consistency_weight == pytest.approx(expected * sigmoid_ramp_up(STEPS - 1, steps))
    else:
        assert method.consistency_weight == expected > 0


@pytest.mark.parametrize("name", MIXED)
def test_a_run_that_could_hold_no_unlabeled_row_is_refused(name, phantom, tmp_path):
    root = copy_bundle(name, tmp_path)
    with pytest.raises(RuntimeError) as raised:
        workflow(root, ["train"], dataset_dir=str(phantom), **{**SMALL, "labelled_patients": None})
    assert "no patient is left without labels" in message_of(raised)
    with pytest.raises(RuntimeError) as raised:
        workflow(root, ["train"], dataset_dir=str(phantom), **{**SMALL, "batch_size": 1})
    assert "batch_size" in message_of(raised)


class Interrupted(Exception):
    """Stands for a machine that stops."""


@pytest.mark.slow
@pytest.mark.parametrize("name, change", [
    *((name, {}) for name in KINDS), ("bcp_segmentation", {"warm_up_steps": 7}),
    ("mean_teacher_segmentation", {"ramp_up_begin": 7, "consistency_weight": 10.0}),
    ("caussl_segmentation", {"independence_begin": 2, "independence_every": 3}),
])  # fmt: skip
def test_an_interrupted_run_ends_as_an_uninterrupted_one(name, change, phantom, tmp_path):
    """With a boundary of stages before the interruption, which is the default, or behind it."""
    settings = {"dataset_dir": str(phantom), **SMALL, "epochs": 4, **change}
    whole, stopped = (copy_bundle(name, tmp_path / kind) for kind in ("whole", "stopped"))
    run(whole, ["train"], **settings)
    flow = workflow(stopped, ["train"], **settings)

    @flow.trainer.on(Events.ITERATION_COMPLETED(once=8))
    def interrupt():
        raise Interrupted

    with pytest.raises(RuntimeError) as raised:
        flow.run()
    assert "Interrupted" in message_of(raised)
    assert not (stopped / "models" / "model_final.pt").exists()
    run(stopped, ["train"], **settings, resume=True)
    for file in ("model.pt", "model_final.pt", "resume_train/resume_checkpoint_4.pt"):
        one, other = (torch.load(root / "models" / file, weights_only=True) for root in (whole, stopped))
        one, other = one.get("method", one), other.get("method", other)
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one), file
    held = {key.split(".")[0] for key in one} - {"stages"}  # the network, as UniMatch, URPC and MC-Net+ see it
    assert held == {"network", *HEADS.get(name, ()), *PARTNERS.get(name, "").split(".")[:1]} - {""}


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_the_trained_network_is_scored_and_served(name, trained, phantom):
    root, flow, *_ = trained(name)
    tested = flow.parser.get_parsed_content("split")["test"]
    run(root, ["train", "evaluate"], dataset_dir=str(phantom), **SMALL)
    rows = read_rows(root / "eval" / "metrics.csv")
    assert len(rows) == len(tested) * 3 and all(0 <= float(row["dice"]) <= 1 for row in rows)
    sizes = {key: SMALL[key] for key in ("device", "image_size", "pixdim", "network_def#features")}
    run(root, ["inference"], "infer", dataset_dir=str(phantom), datalist=[case["image"] for case in tested], **sizes)
    for case in tested:
        (served,) = (root / "eval").rglob(f"{Path(case['image']).name.split('.')[0]}_trans.nii.gz")
        assert nib.load(served).shape == nib.load(case["image"]).shape and (nib.load(served).get_fdata() < 4).all()

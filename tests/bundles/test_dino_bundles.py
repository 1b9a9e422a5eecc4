# SPDX-License-Identifier: Apache-2.0
"""The bundles of DINO: the zoo's checks, and every stage and policy on generated pictures and a small phantom."""

import csv
import json
import warnings
from pathlib import Path

import pytest
import torch
from monai.networks.nets import BasicUNet
from workflows import SMALL, copy_bundle, message_of, parsed, run, workflow, write_pictures

from monai_cl_ext.data import write_phantom
from monai_cl_ext.networks import MultiCropViT
from monai_cl_ext.transforms import GaussianBlur, PolynomialBiasField
from monai_cl_ext.visualize import write_report

NAMES = ["dino_classification", "dino_segmentation"]
CPU = {"device": "$torch.device('cpu')"}
VIT = {"patch_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_layers": 2, "num_heads": 2}
PICTURES = {**CPU, **VIT, "image_size": 16}
PROBE = {
    **PICTURES, "network_def#blocks": 2, "picture_size": 20, "batch_size": 4, "epochs": 2, "batches_per_epoch": 3,
    "log_interval": 1, "validation_patients": 5, "test_patients": 6,
}  # fmt: skip
HEAD = {"out_dim": 16, "head_width": 12, "bottleneck": 8}
PRETRAIN = {
    "dino_classification": {**{key: PROBE[key] for key in PROBE if "blocks" not in key}, **HEAD, "local_size": 8},
    "dino_segmentation": {**SMALL, **HEAD, "batch_size": 4, "local_size": [16, 16]},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, str]:
    """The folder of each bundle's data."""
    folder = tmp_path_factory.mktemp("data")
    write_phantom(folder / "phantom", patients=9, seed=0)
    write_pictures(folder / "pictures", {"falling": 1.0, "rising": -1.0}, 12)
    return {"dino_classification": str(folder / "pictures"), "dino_segmentation": str(folder / "phantom")}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, data) -> dict[str, Path]:
    """Each bundle after its pre-training."""
    roots = {name: copy_bundle(name, tmp_path_factory.mktemp(name)) for name in NAMES}
    for name, root in roots.items():
        run(root, ["pretrain"], dataset_dir=data[name], **PRETRAIN[name])
    return roots


@pytest.fixture(scope="module")
def classified(pretrained, data) -> Path:
    """The classification bundle after the linear probe, evaluation and inference."""
    root = pretrained["dino_classification"]
    settings = {"dataset_dir": data["dino_classification"], **PROBE}
    run(root, ["train"], pretrained=f"{root}/models/model_pretrain.pt", **settings)
    run(root, ["train", "evaluate"], **settings, neighbors=3)
    infer(root, data["dino_classification"])
    return root


def infer(root: Path, folder: str, **settings) -> None:
    run(root, ["inference"], "infer", **PICTURES, **{"network_def#blocks": 2, **settings}, dataset_dir=folder)


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


# files, metadata, configs


def test_inference_of_pictures_follows_no_link_and_passes_hidden_files_over(tmp_path):
    for name in ("a.png", "sub/b.JPG", "sub/.c.png", ".cache/d.png", "e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("up", "sub/up", "sub/again"):  # glob would go round and round
        (tmp_path / name).symlink_to(tmp_path)
    for folder in (str(tmp_path), f"{tmp_path}/"):
        found = parsed("dino_classification", "inference", dataset_dir=folder).get_parsed_content("datalist")
        assert [path.replace("//", "/") for path in found] == [f"{tmp_path}/a.png", f"{tmp_path}/sub/b.JPG"]


@pytest.mark.parametrize("overlay, count", [("policy_basic", 2), ("policy_simclr", 6)])
def test_the_other_papers_policies_are_two_views(overlay, count):
    policies = parsed("dino_segmentation", "pretrain", overlay).get_parsed_content("policies")
    assert len(policies) == 2 and all(policy.size == (96, 96) for policy in policies)
    assert all(len(policy.operations) <= count for policy in policies)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policies[0]({"image": torch.rand(2, 1, 96, 96)}, torch.Generator().manual_seed(0))


def test_the_papers_settings():
    parser = parsed("dino_classification", "pretrain", "paper_001")
    network = parser.get_parsed_content("network_def")
    assert (network.hidden_size, len(network.blocks), network.patch_size, network.grid) == (384, 12, [16] * 2, [14] * 2)
    sizes = [policy.size for policy in parser.get_parsed_content("policies")]
    assert sizes == [(224, 224)] * 2 + [(96, 96)] * 8
    assert (parser["out_dim"], parser["momentum"], parser["local_crops"]) == (65536, 0.996, 8)
    assert parser.get_parsed_content("learning_rate") == 0.0005 / 4
    probe = parsed("dino_classification", "train", "paper_001", num_classes=5)
    assert probe.get_parsed_content("learning_rate") == 0.001 / 16 and probe.get_parsed_content("epochs") == 50
    assert [probe.get_parsed_content("mirror_probability"), parser.get_parsed_content("mirror_probability")] == [0, 0.5]
    net = probe.get_parsed_content("network_def")
    assert net.linear.weight.shape == (5, 4 * 384) and net.frozen
    served = parsed("dino_classification", "inference", "paper_001", datalist=["a.png"])
    assert served.get_parsed_content("network_def").backbone.grid == [14, 14]
    assert served.get_parsed_content("dataloader").batch_size == 16


# the stages of both bundles


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("overlay", ["policy_strong", "policy_weak", "policy_weak_med"])
def test_crops_are_made_of_any_view_policy_and_warn_of_nothing(name, overlay):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policies = parsed(name, "pretrain", overlay).get_parsed_content("policies")
        channels = 3 if name.endswith("classification") else 1
        for policy in policies:
            policy({"image": torch.rand(2, channels, 96, 96)}, torch.Generator().manual_seed(0))
    areas = [policy.operations[0].area for policy in policies]
    strong = overlay == "policy_strong"
    assert areas == [(0.4, 1.0) if strong else (0.5, 1.0)] * 2 + [(0.05, 0.4) if strong else (0.2, 0.5)] * 4
    chances = [[each.probability for each in policy.operations if isinstance(each, GaussianBlur) and each.high == 2]
               for policy in policies]  # fmt: skip
    assert chances == [[1.0], [0.1], *[[0.5]] * 4]
    fields = [operation for operation in policies[0].operations if isinstance(operation, PolynomialBiasField)]
    assert bool(fields) == (overlay == "policy_weak_med")
    half = parsed(name, "pretrain", overlay, strength=0.5).get_parsed_content("policies")
    assert half[0].operations[0].area[0] == (areas[0][0] + 1) / 2


def test_a_policy_without_a_random_crop_makes_no_local_crops():
    basic = {"view_policy": {"_target_": "monai_cl_ext.transforms.basic_policy"}}
    with pytest.raises(RuntimeError) as raised:
        parsed("dino_classification", "pretrain", **basic).get_parsed_content("policies")
    assert "need a view_policy with an AreaCropResize, whose area they change, found Rotation" in message_of(raised)
    first, second = parsed("dino_classification", "pretrain", **basic, local_crops=0).get_parsed_content("policies")
    assert first.size == second.size == (64, 64) and (first.padding_mode, second.padding_mode) == ("zeros", "zeros")


@pytest.mark.parametrize("name", NAMES)
def test_pretraining_leaves_the_teacher_curves_and_a_batch(name, pretrained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    root = pretrained[name]
    state = torch.load(root / "models" / "model_pretrain.pt", weights_only=True)
    network = MultiCropViT(img_size=16, **VIT)
    if name.endswith("segmentation"):
        network = BasicUNet(2, 1, 4, features=[4, 8, 8, 8, 8, 4], norm="batch")
    network.load_state_dict(state)
    folder = root / "eval" / "pretrain"
    events = EventAccumulator(str(folder))
    events.Reload()
    assert {"train_loss", "partition_probe", "effective_rank_score"} <= set(events.Tags()["scalars"])
    assert len(events.Scalars("partition_probe")) == 2
    shapes = [tuple(view.shape[2:]) for view in torch.load(folder / "batch.pt", weights_only=True)["views"]]
    sizes = (16, 8) if name.endswith("classification") else (32, 16)
    assert shapes == [(sizes[0],) * 2] * 2 + [(sizes[1],) * 2] * 4
    assert len(torch.load(folder / "embeddings.pt", weights_only=True)["embeddings"]) > 4
    settings = json.loads((folder / "run_pretrain.json").read_text())["settings"]
    assert {"method", "global_policy", "strength", "teacher_temperature", "learning_rate", "momentum"} <= set(settings)


@pytest.mark.parametrize("name", NAMES)
def test_every_schedule_acts(name, data, tmp_path):
    root = copy_bundle(name, tmp_path)
    schedule = {"teacher_warmup_epochs": 2, "teacher_temperature": 0.04, "final_teacher_temperature": 0.07}
    flow = workflow(root, ["pretrain"], dataset_dir=data[name], **{**PRETRAIN[name], **schedule, "warmup_epochs": 1})
    method, optimizer = (flow.parser.get_parsed_content(key) for key in ("method", "optimizer"))
    layer = method.student.head.last_layer
    start, seen = layer.weight.detach().clone(), []

    def note(*_):
        group = optimizer.param_groups[0]
        seen.append((group["lr"], group["weight_decay"], method.momentum, method.teacher_temperature,
                     torch.equal(layer.weight, start)))  # fmt: skip

    optimizer.register_step_post_hook(note)
    flow.run()
    rates, decays, momenta, temperatures, still = zip(*seen, strict=True)
    rate, decay, momentum = (flow.parser[key] for key in ("learning_rate", "weight_decay", "momentum"))
    assert rates[:4] == pytest.approx([0, rate / 2, rate, rate]) and rates[3] > rates[4] > rates[5] > 0
    assert decays[0] == pytest.approx(decay) and list(decays) == sorted(decays) and decays[-1] < 0.4
    assert momenta[0] == pytest.approx(momentum) and list(momenta) == sorted(momenta) and momenta[-1] < 1
    assert temperatures == pytest.approx([0.04] * 3 + [0.07] * 3)
    assert still == (True,) * 3 + (False,) * 3


@pytest.mark.parametrize("name", NAMES)
def test_an_unchanged_run_is_resumed(name, pretrained, data):
    flow = workflow(pretrained[name], ["pretrain"], dataset_dir=data[name], resume=True, **PRETRAIN[name])
    assert flow.trainer.state.epoch == 2


# classification


def test_scores_of_the_test_pictures_are_written(classified, data):
    cases = workflow(classified, ["train", "evaluate"], dataset_dir=data["dino_classification"], **PROBE)
    held_out = {case["image"]: case for case in cases.parser.get_parsed_content("split")["test"]}
    for file in ("predictions.csv", "predictions_nearest_neighbors.csv"):
        rows = table(classified / "eval" / file)
        assert {row["image"] for row in rows} == set(held_out) and len(rows) == 6
        for row in rows:
            case = held_out[row["image"]]
            assert (row["patient"], row["class"]) == (case["patient"], case["class_name"])
            assert float(row["falling"]) + float(row["rising"]) == pytest.approx(1, abs=1e-5)
    rows = table(classified / "eval" / "metrics.csv")
    assert {row["classifier"] for row in rows} == {"network", "nearest_neighbors"}
    predictions = table(classified / "eval" / "predictions.csv")
    right = [row["class"] == max(("falling", "rising"), key=lambda name: float(row[name])) for row in predictions]
    (accuracy,) = [row for row in rows if (row["classifier"], row["score"]) == ("network", "accuracy")]
    assert float(accuracy["value"]) == pytest.approx(sum(right) / 6) and accuracy["images"] == "6"
    assert all(0 <= float(row["low"]) <= float(row["high"]) <= 1 for row in rows)
    assert sum(row["score"] == "auroc" for row in rows) == 2 * 3
    assert json.loads((classified / "models" / "class_names.json").read_text()) == ["falling", "rising"]


def test_the_report_shows_the_scores_of_the_test_pictures(classified, tmp_path):
    (shown,) = [row for row in table(classified / "eval" / "metrics.csv")
                if (row["classifier"], row["score"], row["class"]) == ("network", "auroc", "falling")]  # fmt: skip
    page = write_report(classified / "eval", tmp_path / "report.html").read_text()
    assert "Scores on photographs" in page and "AUROC" in page
    value, low, high = (f"{float(shown[name]):.3f}" for name in ("value", "low", "high"))
    assert f"{value} [{low}, {high}]" in page


def test_inference_gives_what_evaluation_scored(classified):
    """Pictures are 20 x 23 pixels, so resizing and cropping matter."""
    served = {row["image"]: row for row in table(classified / "eval" / "inference" / "predictions.csv")}
    assert len(served) == 24
    for row in table(classified / "eval" / "predictions.csv"):
        assert float(served[row["image"]]["rising"]) == pytest.approx(float(row["rising"]), abs=1e-6)


def test_the_probe_freezes_the_backbone_and_finetuning_does_not(classified, data):
    settings = {"dataset_dir": data["dino_classification"], "resume": False, **PROBE}
    before = torch.load(classified / "models" / "model_pretrain.pt", weights_only=True)
    for probe, kind in (("linear", torch.optim.SGD), ("finetune", torch.optim.AdamW)):
        models = classified / f"models_{probe}"
        flow = run(classified, ["train"], probe=probe, pretrained=f"{classified}/models/model_pretrain.pt",
                   ckpt_dir=str(models), output_dir=str(models), **settings)  # fmt: skip
        assert type(flow.parser.get_parsed_content("optimizer")) is kind
        state = torch.load(models / "model_final.pt", weights_only=True)
        same = [torch.equal(state[f"backbone.{name}"], value) for name, value in before.items()]
        assert all(same) if probe == "linear" else not any(same)
        with pytest.raises(RuntimeError) as raised:
            other = {"linear": "finetune", "finetune": "linear"}[probe]
            workflow(classified, ["train"], **{**settings, "resume": True}, probe=other, ckpt_dir=str(models),
                     pretrained=f"{classified}/models/model_pretrain.pt")  # fmt: skip
        assert "was saved by a run with other settings" in message_of(raised)
    with pytest.raises(RuntimeError) as raised:
        parsed("dino_classification", "train", probe="linaer").get_parsed_content("frozen")
    assert "probe must be one of 'linear', 'finetune', found 'linaer'" in message_of(raised)


def test_external_evaluation_is_one_command(classified, data, tmp_path):
    settings = {"dataset_dir": data["dino_classification"], "output_dir": str(tmp_path / "eval"), **PROBE}
    write_pictures(tmp_path / "other", {"rising": -1.0}, 3, seed=5)  # a class is absent, so its numbers differ
    run(classified, ["train", "evaluate"], **settings, test_dir=str(tmp_path / "other"))
    rows = table(tmp_path / "eval" / "predictions.csv")
    assert len(rows) == 3 and {row["class"] for row in rows} == {"rising"}
    scores = {(row["classifier"], row["score"], row["class"]): row for row in table(tmp_path / "eval" / "metrics.csv")}
    right = sum(float(row["rising"]) > 0.5 for row in rows) / 3
    assert float(scores["network", "accuracy", "all"]["value"]) == pytest.approx(right)
    assert scores["network", "auroc", "all"]["value"] == "nan"
    write_pictures(tmp_path / "unknown", {"flat": 0.0}, 1)
    with pytest.raises(RuntimeError) as raised:
        workflow(classified, ["train", "evaluate"], **settings, test_dir=str(tmp_path / "unknown"))
    assert "0.png must be one of 'falling', 'rising', found 'flat'" in message_of(raised)


def test_data_of_other_classes_are_not_scored_by_their_numbers(classified, tmp_path):
    write_pictures(tmp_path / "other", {"level": 0.0, "rising": -1.0}, 12, seed=5)
    with pytest.raises(RuntimeError) as raised:
        run(classified, ["train", "evaluate"], **PROBE, dataset_dir=str(tmp_path / "other"), output_dir=str(tmp_path))
    assert "the weights tell ['falling', 'rising'], the data have ['level', 'rising']" in message_of(raised)


def test_pictures_of_the_training_are_not_tested(classified, data, tmp_path):
    settings = {"dataset_dir": data["dino_classification"], "output_dir": str(tmp_path), **PROBE}
    with pytest.raises(RuntimeError) as raised:
        run(classified, ["train", "evaluate"], **settings, test_dir=data["dino_classification"])
    assert "images are both tested and used in training" in message_of(raised)


def test_a_table_gives_patients_who_stay_together_and_pictures_without_label(data, tmp_path):
    """Two pictures a patient; a third of the patients has no label and is pre-trained on alone."""
    folder = Path(data["dino_classification"])
    paths = sorted(folder.glob("*/*.png"))
    with (tmp_path / "table.csv").open("w", newline="") as file:
        numbered = [(row // 2, path) for row, path in enumerate(paths)]
        lines = [[path, f"p{patient}", path.parent.name if patient % 3 else ""] for patient, path in numbered]
        csv.writer(file).writerows([["file", "who", "label"], *lines])
    settings = {"dataset_dir": str(folder), "table": str(tmp_path / "table.csv"), **PROBE, "validation_patients": 2,
                "test_patients": 2, "columns": {"image": "file", "patient": "who"}}  # fmt: skip
    parsed_train = parsed("dino_classification", "train", **settings)
    split, labelled = (parsed_train.get_parsed_content(key) for key in ("split", "labelled"))
    patients = [{case["patient"] for case in split[part]} for part in ("train", "validation", "test")]
    assert [len(part) for part in patients] == [8, 2, 2] and len(set.union(*patients)) == 12
    assert {case["patient"] for case in labelled} == {name for name in patients[0] if int(name[1:]) % 3}
    few = parsed("dino_classification", "train", **settings, labelled_patients=2).get_parsed_content("labelled")
    assert len(few) == 4
    pretraining = {**settings, **PRETRAIN["dino_classification"], "validation_patients": 2, "test_patients": 2}
    dataset = parsed("dino_classification", "pretrain", **pretraining).get_parsed_content("train#dataset")
    assert set(dataset.patients) == patients[0] and set(dataset.label.tolist()) == {-1}

# SPDX-License-Identifier: Apache-2.0
"""The handler on a MONAI evaluator: file, metrics, names and errors."""

import csv
import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.data import DataLoader, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.transforms import AsDiscreted
from odd_names import ODD

from monai_cl_ext.csv_files import read_rows
from monai_cl_ext.metrics import SegmentationScoresHandler, segmentation_scores

SPACING = (1.5, 1.5, 8.0)


def volume(name, labels, spacing=SPACING):
    affine = np.diag([*spacing, 1.0])
    return MetaTensor(torch.as_tensor(labels)[None], affine=affine, meta={"filename_or_obj": name})


def cases(count=3, classes=3, seed=0):
    """Label maps; the first lacks class 2 in the prediction, the second in both, the third in the reference."""
    generator = np.random.default_rng(seed)
    found = []
    for index in range(count):
        reference = generator.integers(0, classes, (7, 6, 4))
        prediction = np.where(generator.random(reference.shape) < 0.2, 0, reference)
        if index in (0, 1):
            prediction[prediction == 2] = 1
        if index in (1, 2):
            reference[reference == 2] = 1
        found.append((f"/data/p{index}/case{index}.nii.gz", prediction, reference))
    return found


def evaluate(items, handler, more=()):
    engine = Engine(lambda _, batch: batch)
    handler.attach(engine)
    for event, function in more:
        engine.add_event_handler(event, function)
    engine.run([[item] for item in items])
    return engine


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def outputs(found):
    return [
        {"image": volume(name, r * 0.5), "pred": volume("", p), "label": volume("label.nii.gz", r)}
        for name, p, r in found
    ]


def test_rows_and_metrics_equal_the_scores_of_each_volume(tmp_path):
    found = cases()
    path = tmp_path / "new" / "scores.csv"
    seen = {}
    engine = evaluate(
        outputs(found),
        SegmentationScoresHandler(str(path), 3, ["LV", "RV"]),
        [(Events.EPOCH_COMPLETED, lambda engine: seen.update(engine.state.metrics))],
    )
    rows = read(path)
    assert list(rows[0]) == ["volume", "class", "dice", "jaccard", "hd95", "asd", "missed"]
    assert [(row["volume"], row["class"]) for row in rows] == [(f"case{i}", c) for i in range(3) for c in ("LV", "RV")]
    dice = []
    for index, (_, prediction, reference) in enumerate(found):
        scores = segmentation_scores(prediction, reference, 3, SPACING)
        for column in range(2):
            row = rows[2 * index + column]
            for name, values in scores.items():
                assert float(row[name]) == pytest.approx(values[column].item(), abs=0, nan_ok=True)
        dice.append([value for value in scores["dice"].tolist() if not math.isnan(value)])
    assert [row["missed"] for row in rows] == ["0", "1", "0", "0", "0", "1"]
    assert engine.state.metrics["missed"] == 2 and engine.state.metrics["absent"] == 1
    assert len(dice[1]) == 1
    means = [sum(values) / len(values) for values in dice]  # the volume with one class counts like the others
    assert engine.state.metrics["dice_mean"] == pytest.approx(sum(means) / 3)
    assert engine.state.metrics["dice_RV"] == 0 and engine.state.metrics["dice_LV"] > 0.5
    assert seen == engine.state.metrics, "handlers that log at the end of the epoch must find the metrics"
    assert not [file for file in path.parent.iterdir() if file != path]


def test_a_class_is_not_named_as_the_score_over_all_classes(tmp_path):
    with pytest.raises(ValueError, match="class 'mean': .*have a score of this name.*dataset.json"):
        SegmentationScoresHandler(str(tmp_path / "scores.csv"), 3, ["LV", "mean"])


def test_voxels_instead_of_the_affine(tmp_path):
    found = cases(1)
    evaluate(outputs(found), SegmentationScoresHandler(tmp_path / "a.csv", 3, use_spacing=False))
    rows = read(tmp_path / "a.csv")
    expected = segmentation_scores(*found[0][1:], 3)
    assert [float(row["hd95"]) for row in rows] == expected["hd95"].tolist()
    assert [row["class"] for row in rows] == ["1", "2"]
    # and then plain tensors will do, if the image carries the name
    item = {"image": outputs(found)[0]["image"], "pred": torch.as_tensor(found[0][1])[None], "label": found[0][2][None]}
    evaluate([item], SegmentationScoresHandler(tmp_path / "b.csv", 3, use_spacing=False))
    assert read(tmp_path / "b.csv") == rows


def test_a_second_run_starts_afresh_and_two_files_of_one_name_stay_apart(tmp_path):
    found = [(f"/data/p{index}/image.nii", p, r) for index, (_, p, r) in enumerate(cases())]
    handler = SegmentationScoresHandler(tmp_path / "a.csv", 3)
    engine = evaluate(outputs(found), handler)
    assert [row["volume"] for row in read(tmp_path / "a.csv")][::2] == [name for name, _, _ in found]
    engine.run([outputs(found[:1])])
    assert [row["volume"] for row in read(tmp_path / "a.csv")] == ["image", "image"]


def test_an_interrupted_run_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    items = outputs(cases())
    items[2]["pred"] = items[2]["pred"][:, :5]
    with pytest.raises(ValueError, match=r"/data/p2/case2\.nii\.gz: .* \(7, 6, 4\) voxels .* \(5, 6, 4\) voxels"):
        evaluate(items, SegmentationScoresHandler(path, 3))
    assert path.read_text() == "old"


def test_bad_outputs_are_named(tmp_path):
    item = outputs(cases(1))[0]

    def refused(items, message, **arguments):
        with pytest.raises(ValueError, match=message):
            evaluate(items, SegmentationScoresHandler(tmp_path / "a.csv", 3, **arguments))

    refused([{**item, "pred": item["pred"].repeat(3, 1, 1, 1)}], r"case0\.nii\.gz: 'pred' must be .* AsDiscreted")
    refused([{key: item[key] for key in ("image", "pred")}], "has no 'label', found")
    refused([{**item, "label": item["label"].as_tensor()}], "label has no affine .*use_spacing=False")
    refused([{"pred": item["pred"].as_tensor(), "label": item["label"].as_tensor()}], "no 'filename_or_obj'")
    refused([{**item, "label": item["label"] + 5}], "case0.* reference must hold labels from 0 to 2")
    with pytest.raises(ValueError, match="decollate=True"):
        engine = Engine(lambda _, batch: batch)
        SegmentationScoresHandler(tmp_path / "a.csv", 3).attach(engine)
        engine.run([item])
    with pytest.raises(ValueError, match=r"name the 2 classes without background, found \['a'\]"):
        SegmentationScoresHandler(tmp_path / "a.csv", 3, ["a"])


def test_inside_a_config_with_monais_evaluator(tmp_path):
    """A network that returns its input as logits, from a bundle-like configuration."""
    found = cases()

    class Logits(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.one_hot(x[:, 0].long(), 3).movedim(-1, 1).float()

    data = [{"image": volume(name, p.astype(np.float32)), "label": volume(name, r)} for name, p, r in found]
    parser = ConfigParser(
        {
            "handlers": [
                {
                    "_target_": "monai_cl_ext.metrics.SegmentationScoresHandler",
                    "output": str(tmp_path / "scores.csv"),
                    "num_classes": 3,
                    "class_names": ["LV", "RV"],
                }
            ]
        }
    )
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(data, batch_size=2),
        network=Logits(),
        postprocessing=AsDiscreted(keys="pred", argmax=True),
        val_handlers=parser.get_parsed_content("handlers"),
    )
    evaluator.run()
    rows = read(tmp_path / "scores.csv")
    expected = [segmentation_scores(p, r, 3, SPACING)["asd"].tolist() for _, p, r in found]
    assert [float(row["asd"]) for row in rows] == pytest.approx(sum(expected, []), nan_ok=True)
    assert evaluator.state.metrics["missed"] == 2
    evaluator.run()
    assert len(read(tmp_path / "scores.csv")) == 6


def test_odd_names_of_volumes_and_classes_come_back_and_are_no_formulas(tmp_path):
    names = sorted((name for name in ODD if not {"\udce9", "/"} & set(name)), key="{}.nii.gz".format)
    maps = torch.ones(3, 3, 2, dtype=torch.long)
    items = [{"image": volume(f"{name}.nii.gz", maps), "pred": volume("", maps), "label": volume("", maps)}
             for name in names]  # fmt: skip
    evaluate(items, SegmentationScoresHandler(tmp_path / "a.csv", 3, ["=LV", "-1"]))
    rows = read_rows(tmp_path / "a.csv")
    assert [row["volume"] for row in rows[::2]] == names and {row["class"] for row in rows} == {"=LV", "-1"}
    assert {row["dice"] for row in rows[::2]} == {"1.0"}
    assert not [cell for row in read(tmp_path / "a.csv") for cell in row.values() if cell.startswith(tuple("=+-@\t"))]

# SPDX-License-Identifier: Apache-2.0
"""The files and metrics of a classification's evaluation, in one process and in two."""

import csv
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from monai.data import DistributedSampler
from monai.engines import SupervisedEvaluator
from PIL import Image
from torch.utils.data import DataLoader

from monai_cl_ext.csv_files import read_rows
from monai_cl_ext.data import PictureDataset
from monai_cl_ext.metrics import (
    ClassificationScoresHandler,
    NearestNeighbors,
    PredictionTable,
    bootstrap_intervals,
    classification_handler,
    classification_scores,
    nearest_neighbor_probabilities,
)
from monai_cl_ext.transforms import PrepareImage, identity_policy

NAMES = ["dark", "gray", "light"]


def pictures(folder: Path, count: int, seed: int) -> list[dict]:
    """Pictures that are brighter on average in later classes, two a patient."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    cases = []
    for number in range(count):
        label = number % 3
        path = folder / f"{number}.png"
        Image.fromarray(generator.integers(0, 100 + 70 * label, (6, 6, 3), dtype=np.uint8)).save(path)
        cases.append({"image": str(path), "patient": f"p{number // 2}", "class": label})
    return cases


class Brightness(torch.nn.Module):
    """Logits from the mean of the picture."""

    def forward(self, image):
        mean = image.mean(dim=(1, 2, 3))
        return torch.stack([-20 * (mean - center) ** 2 for center in (0.2, 0.33, 0.45)], dim=1)


def evaluate(
    folder: Path, cases: list[dict], references: list[dict], trained_on: list[str] | None = None, **loading
) -> dict:
    dataset = PictureDataset(cases, 6)
    sampler = DistributedSampler(dataset, even_divisible=False, shuffle=False) if dist.is_initialized() else None
    neighbors = NearestNeighbors(
        torch.nn.Flatten(), PictureDataset(references, 6), 3, PrepareImage(identity_policy(), "class"), k=5
    )
    handler = ClassificationScoresHandler(folder, NAMES, dataset, neighbors, trained_on or [], resamples=50)
    evaluator = SupervisedEvaluator(
        torch.device("cpu"), DataLoader(dataset, 4, **{"sampler": sampler} | loading), Brightness(),
        prepare_batch=PrepareImage(identity_policy(), "class"), val_handlers=[handler], decollate=False,
    )  # fmt: skip
    evaluator.run()
    return evaluator.state.metrics


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def plain(row: dict[str, str]) -> dict[str, float | str]:
    """Numbers as such; pytest.approx compares words exactly."""
    return {name: float(value) if value.replace(".", "").isdigit() else value for name, value in row.items()}


def test_files_hold_what_the_network_and_its_neighbors_say(tmp_path):
    cases, references = pictures(tmp_path / "test", 13, 0), pictures(tmp_path / "train", 20, 1)
    metrics = evaluate(tmp_path / "eval", cases, references)
    own, others = PictureDataset(cases, 6), PictureDataset(references, 6)
    images, near = (torch.stack([data[i]["image"] for i in range(len(data))]) for data in (own, others))
    expected = {
        "network": ("predictions.csv", Brightness()(images).softmax(dim=1)),
        "nearest_neighbors": (
            "predictions_nearest_neighbors.csv",
            nearest_neighbor_probabilities(images.flatten(1), near.flatten(1), others.label, 3, 5),
        ),
    }
    scored = {(row["classifier"], row["score"], row["class"]): row for row in table(tmp_path / "eval" / "metrics.csv")}
    assert len(scored) == 2 * (3 + 2 * 3)
    for name, (file, probabilities) in expected.items():
        rows = table(tmp_path / "eval" / file)
        assert [row["image"] for row in rows] == [case["image"] for case in cases]
        assert [row["patient"] for row in rows] == [case["patient"] for case in cases]
        assert [row["class"] for row in rows] == [NAMES[case["class"]] for case in cases]
        found = torch.tensor([[float(row[label]) for label in NAMES] for row in rows])
        torch.testing.assert_close(found, probabilities)
        scores = classification_scores(probabilities, own.label, each=True)
        limits = bootstrap_intervals(probabilities, own.label, [case["patient"] for case in cases], resamples=50)
        for score in ("auroc", "aupr", "accuracy"):
            row = scored[name, score, "all"]
            assert metrics[f"{name}_{score}"] == pytest.approx(scores[score].item()) == float(row["value"])
            ends = float(row["low"]), float(row["high"])
            assert ends == pytest.approx([end.item() for end in limits[score]]) and row["images"] == "13"
        row = scored[name, "aupr", "gray"]
        assert float(row["value"]) == pytest.approx(scores["aupr_each"][1].item()) and row["images"] == "4"
        assert float(row["high"]) == pytest.approx(limits["aupr_each"][1][1].item())


def test_probabilities_of_doubles_stay_so(tmp_path):
    class Double(Brightness):
        def forward(self, image):
            return super().forward(image.double())

    dataset = PictureDataset(pictures(tmp_path / "test", 6, 0), 6)
    handler = ClassificationScoresHandler(tmp_path / "eval", NAMES, dataset, resamples=5)
    prepare = PrepareImage(identity_policy(), "class")
    SupervisedEvaluator(
        torch.device("cpu"), DataLoader(dataset, 4), Double(), prepare_batch=prepare, val_handlers=[handler],
        decollate=False,
    ).run()  # fmt: skip
    (found,) = handler.probabilities.values()
    torch.testing.assert_close(found.sum(1), torch.ones(6, dtype=torch.float64), rtol=0, atol=1e-14)


def test_a_picture_that_was_trained_on_stops_the_evaluation(tmp_path):
    cases = pictures(tmp_path / "test", 6, 0)
    with pytest.raises(ValueError, match="1 images are both tested and used in training, such as .*5.png"):
        evaluate(tmp_path / "eval", cases, cases[5:], [str(tmp_path / "eval" / ".." / "test" / "5.png")])
    assert not (tmp_path / "eval").exists()


def test_pictures_without_class_cannot_be_scored(tmp_path):
    cases = pictures(tmp_path / "test", 6, 0)
    del cases[2]["class"]
    with pytest.raises(ValueError, match="score images with a class alone"):
        evaluate(tmp_path / "eval", cases, pictures(tmp_path / "train", 6, 1))


@pytest.mark.parametrize("loading", [{"drop_last": True}, {"sampler": range(12)}])
def test_images_that_were_not_read_are_not_scored(tmp_path, loading):
    cases = pictures(tmp_path / "test", 13, 0)
    with pytest.raises(ValueError, match="read 12 of the data set's 13 images, expected all of them"):
        evaluate(tmp_path / "eval", cases, pictures(tmp_path / "train", 6, 1), **loading)
    assert not (tmp_path / "eval").exists()


def work(rank: int, folder: Path, cases: list[dict], references: list[dict]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    with patch.object(classification_handler, "bootstrap_intervals", wraps=bootstrap_intervals) as intervals:
        torch.save(evaluate(folder / f"rank{rank}", cases, references), folder / f"metrics{rank}.pt")
    assert intervals.call_count == (2 if rank == 0 else 0), "intervals are for the process that writes"
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
def test_two_processes_equal_one(tmp_path):
    """With an odd number of pictures, so that the shares are uneven."""
    cases, references = pictures(tmp_path / "test", 13, 0), pictures(tmp_path / "train", 20, 1)
    expected = evaluate(tmp_path / "one", cases, references)
    processes.spawn(work, (tmp_path, cases, references), nprocs=2)
    for rank in range(2):
        assert torch.load(tmp_path / f"metrics{rank}.pt") == pytest.approx(expected)
    for path in (tmp_path / "one").iterdir():
        rows = zip(table(path), table(tmp_path / "rank0" / path.name), strict=True)
        assert all(plain(one) == pytest.approx(plain(two), abs=1e-6) for one, two in rows), path.name
    assert not (tmp_path / "rank1").exists()


def test_inference_writes_odd_names_and_refuses_those_of_columns(tmp_path):
    file, odd = tmp_path / "eval" / "predictions.csv", ["=dark", 'a,\n|"light"']
    saver = PredictionTable(file, odd)
    saver.save_batch(torch.tensor([[0.25, 0.75]]), {"filename_or_obj": ["a, b.png"]})
    saver.save_batch(torch.tensor([[1.0, 0.0]]), {"filename_or_obj": ["+c.png"]})
    saver.finalize()
    (first, second) = read_rows(file)
    assert first == {"image": "a, b.png", "=dark": "0.25", odd[1]: "0.75"} and second["image"] == "+c.png"
    with pytest.raises(ValueError, match=r"class_names: found 2 for \(3,\) probabilities an image"):
        saver.save_batch(torch.ones(1, 3), {"filename_or_obj": ["d.png"]})
    with pytest.raises(ValueError, match="class 'image': predictions.csv and metrics.csv have a column of this name"):
        PredictionTable(file, ["image", "other"])


def test_odd_names_of_classes_and_patients_come_back_and_are_no_formulas(tmp_path, monkeypatch):
    odd = ["=dark", "-1", "a,\n|light"]
    monkeypatch.setattr("test_classification_handler.NAMES", odd)
    cases = [case | {"patient": f"+{case['patient']}"} for case in pictures(tmp_path / "test", 6, 0)]
    evaluate(tmp_path / "eval", cases, cases)
    rows = read_rows(tmp_path / "eval" / "predictions.csv")
    assert [row["patient"] for row in rows] == [case["patient"] for case in cases]
    assert [row["class"] for row in rows] == [odd[case["class"]] for case in cases]
    assert all(sum(float(row[name]) for name in odd) == pytest.approx(1) for row in rows)
    assert {row["class"] for row in read_rows(tmp_path / "eval" / "metrics.csv")} == {"all", *odd}
    for row in table(tmp_path / "eval" / "predictions.csv"):
        assert not [cell for cell in (*row, *row.values()) if cell.startswith(tuple("=+-@"))]

# SPDX-License-Identifier: Apache-2.0
"""The record of a run: what it holds, and that a resumed run adds to it."""

import hashlib
import json
import time

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedEvaluator
from torch.utils.data import DataLoader

from monai_cl_ext.engines import MethodTrainer
from monai_cl_ext.engines.batch_record import MAXIMUM_SLICES
from monai_cl_ext.handlers import Resume, RunRecord
from monai_cl_ext.handlers.run_record import readable
from monai_cl_ext.losses import PartitionContrastiveLoss, pair_matrices, sample_tags
from monai_cl_ext.methods import Method
from monai_cl_ext.transforms import Mirror, PrepareViews, ViewPolicy, gcl_policy, identity_policy


class Slices:
    """Four volumes of two slices, in the manner of ``SliceDataset``."""

    files = [f"volume{number}.nii" for number in range(4)]
    patients = ["a", "a", "b", "c"]

    def __init__(self, slices: int = 8, dims: int = 2) -> None:
        self.slices, self.size = slices, (8,) * dims

    def __len__(self) -> int:
        return self.slices

    def __getitem__(self, index: int) -> dict:
        if index >= self.slices:
            raise IndexError
        image = torch.rand(1, *self.size, generator=torch.Generator().manual_seed(index))
        return {"image": image, "volume": index // 2 % 4, "partition": index % 2, "position": 0.5 + index % 2 / 2}


class Whole(Method):
    """Embeds an image by its mean and its spread."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.loss = PartitionContrastiveLoss("gd")

    @property
    def predictor(self):
        return self

    def check_views(self, count):
        pass

    def forward(self, views, tags):
        rows = [self.embed(view["image"]) for view in views]
        return {"loss": self.loss(rows, tags["partition"], tags["volume"])}

    def embed(self, image):
        return torch.stack([image.flatten(1).mean(1), image.flatten(1).std(1)], 1) * self.weight

    def pairs(self, views, tags):
        samples = sample_tags(len(tags["partition"]), tags["partition"].device)
        return pair_matrices(self.loss.rules(tags, samples, len(views)), len(views) * len(samples))


class Local(Whole):
    def pairs(self, views, tags):
        return None


def trainer(folder, *handlers, method=None, epochs=2, data=None, policies=None, batch_size=4) -> MethodTrainer:
    method = method or Whole()
    data = data or Slices()
    policies = policies or [identity_policy(), gcl_policy(), gcl_policy()]
    return MethodTrainer(
        device="cpu", max_epochs=epochs, train_data_loader=DataLoader(data, batch_size=batch_size), method=method,
        optimizer=torch.optim.SGD(method.parameters(), lr=0.1), prepare_batch=PrepareViews(policies),
        train_handlers=list(handlers),
    )  # fmt: skip


def read(folder, stage="stage"):
    return json.loads((folder / f"run_{stage}.json").read_text())


def test_the_record_tells_what_was_run(tmp_path):
    cases = [{"image": ["x_0000.nii", "x_0001.nii"], "patient": "z"}, {"image": "y.nii"}]
    data = {"training": Slices(), "test": cases}
    settings = {"seed": 3, "size": (8, 8), "optimizer": torch.optim.SGD([torch.ones(1)], lr=0.5), "amp": None}
    trainer(tmp_path, RunRecord(tmp_path / "run", "stage", settings, data)).run()
    record = read(tmp_path / "run")
    assert record["completed"] and record["trains"]
    assert (record["epochs"], record["max_epochs"], record["iterations"], record["images"]) == (2, 2, 4, 16)
    assert record["images_per_second"] == pytest.approx(16 / record["seconds"])
    assert 10**7 < record["peak_memory_bytes"] < 10**11
    assert record["settings"]["seed"] == 3 and record["settings"]["size"] == [8, 8]
    assert record["settings"]["amp"] is None
    assert record["settings"]["optimizer"].startswith("SGD(lr=0.5, momentum=0")
    assert record["data"]["training"] == {
        "patients": 3, "volumes": 4, "slices": 8, "slice_size": [8, 8],
        "volume_names": ["volume0", "volume1", "volume2", "volume3"], "patient_of_volume": ["a", "a", "b", "c"],
    }  # fmt: skip
    assert record["data"]["test"] == {
        "patients": 2, "volumes": 2, "volume_names": ["x_0000", "y"], "patient_of_volume": ["z", "y.nii"],
    }  # fmt: skip
    assert set(record["versions"]) == {"python", "monai_cl_ext", "monai", "torch", "ignite", "numpy"}
    assert record["device"] and record["threads"] == torch.get_num_threads() and record["processes"] == 1
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"run_stage.json", "batch.pt"}


def test_an_interrupted_run_leaves_its_record_and_a_resumed_one_adds_to_it(tmp_path):
    def handlers(resume):
        method = Whole()
        keep = Resume({"method": method}, str(tmp_path / "resume"), resume)
        return method, [RunRecord(tmp_path, "stage", {"seed": 0}), keep]

    method, kept = handlers(False)
    broken = trainer(tmp_path, *kept, method=method, epochs=3)

    def stop(engine):
        if engine.state.epoch == 3:
            raise KeyboardInterrupt

    broken.add_event_handler(Events.EPOCH_STARTED, stop)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    first = read(tmp_path)
    assert not first["completed"] and first["epochs"] == 2 and first["images"] == 16

    method, kept = handlers(True)
    trainer(tmp_path, *kept, method=method, epochs=3).run()
    second = read(tmp_path)
    assert second["completed"] and second["epochs"] == 3 and second["images"] == 24
    assert second["begun"] == first["begun"] and second["seconds"] > first["seconds"]

    method, kept = handlers(True)  # a completed run starts, runs no epoch, and leaves its record alone
    trainer(tmp_path, *kept, method=method, epochs=3).run()
    assert read(tmp_path) == second

    method, kept = handlers(False)
    trainer(tmp_path, *kept, method=method, epochs=1).run()
    third = read(tmp_path)
    assert third["begun"] > second["begun"] and third["images"] == 8


def test_the_first_batch_is_kept_with_its_pairs(tmp_path):
    seen = {}

    def look(engine):
        seen.setdefault("views", [view["image"].clone() for view in engine.state.views])
        seen.setdefault("tags", engine.state.tags)

    run = trainer(tmp_path, RunRecord(tmp_path, "stage"))
    run.add_event_handler(Events.ITERATION_COMPLETED, look)
    run.run()
    batch = torch.load(tmp_path / "batch.pt", weights_only=True)
    assert batch["view_names"] == ["original", "view 1", "view 2"]
    assert batch["names"] == ["a", "a", "a", "a"] and batch["volume"].tolist() == [0, 0, 1, 1]
    for kept, view in zip(batch["views"], seen["views"], strict=True):
        assert torch.equal(kept, view.half())
    assert torch.equal(batch["originals"], batch["views"][0])
    for i in range(12):
        for j in range(12):
            same, across = i % 4 == j % 4, (i // 4, j // 4) in ((0, 0), (1, 2), (2, 1))
            partner = i % 2 == j % 2 and not same and across
            if i != j:
                assert batch["positive"][i, j] == (same or partner), (i, j)
                assert batch["negative"][i, j] == (i % 2 != j % 2), (i, j)


def test_a_method_without_pairs_keeps_its_views_alone(tmp_path):
    policies = [gcl_policy(), gcl_policy()]
    trainer(tmp_path, RunRecord(tmp_path, "stage"), method=LocalTwo(), policies=policies).run()
    batch = torch.load(tmp_path / "batch.pt", weights_only=True)
    assert not {"positive", "superpixels"} & set(batch) and batch["view_names"] == ["view 1", "view 2"]
    assert not torch.equal(batch["originals"], batch["views"][0])


class LocalTwo(Local):
    def __init__(self) -> None:
        super().__init__()
        self.loss = PartitionContrastiveLoss("gr")


def test_large_batches_are_cut_and_volumes_give_a_slice(tmp_path):
    data = Slices(2 * MAXIMUM_SLICES, dims=3)
    identity = identity_policy(spatial_dims=3)
    run = trainer(tmp_path, RunRecord(tmp_path, "stage"), data=data, policies=[identity] * 3, epochs=1,
                  batch_size=2 * MAXIMUM_SLICES)  # fmt: skip
    run.run()
    batch = torch.load(tmp_path / "batch.pt", weights_only=True)
    assert batch["originals"].shape == (MAXIMUM_SLICES, 1, 8, 8) and len(batch["names"]) == MAXIMUM_SLICES
    assert torch.equal(batch["originals"][3], data[3]["image"][..., 4].half())
    assert batch["positive"].shape == (3 * MAXIMUM_SLICES,) * 2


class Mapped(Slices):
    """With a superpixel of every pixel; the labels of the last slice need all of 16 bits."""

    def __getitem__(self, index: int) -> dict:
        item = super().__getitem__(index)
        labels = torch.arange(item["image"].numel(), dtype=torch.int32).view(item["image"].shape)
        return item | {"superpixel": labels + 1000 * index if index < 7 else labels + 65_000}


@pytest.mark.parametrize("dims", [2, 3])
def test_the_superpixels_of_view_1_are_kept(dims, tmp_path):
    data = Mapped(dims=dims)
    mirrored = ViewPolicy([Mirror(0, dims, axis_probability=1.0)], spatial_dims=dims)
    policies = [identity_policy(spatial_dims=dims), mirrored, mirrored]
    trainer(tmp_path, RunRecord(tmp_path, "stage"), data=data, policies=policies, epochs=1, batch_size=8).run()
    batch = torch.load(tmp_path / "batch.pt", weights_only=True)
    assert batch["superpixels"].dtype == torch.uint16 and batch["superpixels"].shape == (8, 8, 8)
    for row in range(8):
        expected = data[row]["superpixel"][0]
        assert torch.equal(batch["superpixels"][row].int(), expected if dims == 2 else expected[..., 4])


def test_the_record_of_an_evaluation_counts_volumes(tmp_path):
    SupervisedEvaluator(
        device="cpu", val_data_loader=DataLoader([{"image": torch.zeros(1, 4, 4), "label": 0}] * 3),
        network=torch.nn.Identity(), val_handlers=[RunRecord(tmp_path, "evaluate")],
    ).run()  # fmt: skip
    record = read(tmp_path, "evaluate")
    assert record["completed"] and not record["trains"] and record["images"] == 3


def test_the_weights_that_a_run_left_are_known(tmp_path):
    path = tmp_path / "model.pt"
    for content in (None, b"first", b"second"):
        if content:
            path.write_bytes(content)
        trainer(tmp_path, RunRecord(tmp_path, "stage", weights=str(path))).run()
        expected = content and hashlib.sha256(content).hexdigest()
        assert read(tmp_path).get("weights_sha256") == expected


def test_other_processes_write_nothing(tmp_path, monkeypatch):
    for module in ("distributed", "handlers.run_record"):
        monkeypatch.setattr(f"monai_cl_ext.{module}.rank", lambda: 1)
    engine = Engine(lambda _, batch: batch)
    engine.add_event_handler(Events.STARTED, lambda engine: setattr(engine.state, "device", torch.device("cpu")))
    RunRecord(tmp_path / "run", "stage").attach(engine)
    engine.run([[0]])
    assert not (tmp_path / "run").exists()


def test_objects_are_described_to_two_levels():
    inner = ["Inner", {"training": True, "rate": 0.5, "deep": ["Deep", {"deeper": ["Deepest", {"x": 1}]}]}]
    assert readable(["Outer", {"inner": inner, "none": None}]) == "Outer(inner=Inner(rate=0.5, deep=Deep), none=None)"
    assert readable([1, [2.5, "a"]]) == [1, [2.5, "a"]] and readable("text") == "text"


class Slow(Slices):
    def __getitem__(self, index):
        time.sleep(0.01)
        return super().__getitem__(index)


def test_the_wait_for_data_is_counted_apart(tmp_path):
    record = RunRecord(str(tmp_path), "stage")
    trainer(tmp_path, record, data=Slow()).run()
    found = read(tmp_path)
    assert 2 * 8 * 0.01 <= found["data_wait_seconds"] <= found["seconds"]

# SPDX-License-Identifier: Apache-2.0
"""Two gloo processes with uneven shares give the file and the metrics of one."""

import csv

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from ignite.engine import Engine, Events
from test_partition_probe import COLUMNS
from test_scores_handler import cases, outputs

from monai_cl_ext.distributed import failing_together
from monai_cl_ext.handlers import RunRecord
from monai_cl_ext.metrics import EmbeddingCollapse, PartitionProbe, SegmentationScoresHandler

SHARES = [((0, 1), slice(0, 26)), ((2, 0), slice(26, 40))]  # padding: the second process repeats the first volume


def measure(folder, volumes, part):
    items = outputs(cases())
    engine = Engine(lambda _, index: [items[index]])
    SegmentationScoresHandler(folder / "scores.csv", 3).attach(engine)
    metrics = dict(engine.run(list(volumes)).metrics)
    for name, metric in (("probe", PartitionProbe()), ("collapse", EmbeddingCollapse(lambda output: output[0]))):
        engine = Engine(lambda _, batch: batch)
        metric.attach(engine, name)
        rows = tuple(column[part] for column in COLUMNS)
        metrics |= engine.run([rows]).metrics
    return metrics


def failed_alone(folder, rank):
    """What a process raises where the second cannot score its first volume of two, or its own code fails, or where the
    first, which alone writes, cannot.
    """
    items = outputs(cases())
    bad = {**items[0], "label": items[0]["label"].as_tensor()}
    engine = Engine(lambda _, index: [bad if rank == 1 and index == 0 else items[index]])
    SegmentationScoresHandler(folder / "bad.csv", 3).attach(engine)
    (folder / "no folder").write_text("")
    unwritten, unrecorded = Engine(lambda _, index: [items[index]]), Engine(lambda _, batch: batch)
    SegmentationScoresHandler(folder / "no folder" / "scores.csv", 3).attach(unwritten)
    unrecorded.add_event_handler(Events.STARTED, lambda engine: setattr(engine.state, "device", torch.device("cpu")))
    RunRecord(str(folder / "no folder" / "run"), "evaluate").attach(unrecorded)
    found = []
    for block in (
        lambda: engine.run([0, 1]),
        lambda: {}[rank] if rank == 1 else None,
        lambda: unwritten.run([0, 1]),
        lambda: unrecorded.run([[0]]),
    ):
        try:
            with failing_together():
                block()
        except (ValueError, RuntimeError, KeyError, OSError) as error:
            found.append(f"{type(error).__name__}: {error}")
    return "\n".join(found)


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    own = folder / f"rank{rank}"
    own.mkdir()
    torch.save(measure(own, *SHARES[rank]), folder / f"metrics{rank}.pt")
    (own / "told").write_text(failed_alone(own, rank))
    empty = PartitionProbe()  # a process without rows still takes part
    if rank == 0:
        empty.update(COLUMNS)
    torch.save(empty.compute(), folder / f"lone{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
def test_two_processes_equal_one(tmp_path):
    expected = measure(tmp_path, (0, 1, 2), slice(None))
    processes.spawn(work, (tmp_path,), nprocs=2)
    for rank in range(2):
        metrics = torch.load(tmp_path / f"metrics{rank}.pt")
        assert metrics.keys() == expected.keys()
        for name, value in expected.items():
            assert metrics[name] == pytest.approx(value, abs=1e-6), name
        assert torch.load(tmp_path / f"lone{rank}.pt") == pytest.approx(expected["probe"], abs=1e-12)
        scores, code, *files = (tmp_path / f"rank{rank}" / "told").read_text().splitlines()
        assert scores.startswith("ValueError: /data/p0/case0.nii.gz: label has no affine")
        assert code == ("KeyError: 1" if rank == 1 else "RuntimeError: KeyError: 1")
        assert len(files) == 2 and all("Error" in line and f"{tmp_path}/rank0/no folder" in line for line in files)
        assert not (tmp_path / f"rank{rank}" / "bad.csv").exists()
    with (tmp_path / "scores.csv").open() as one, (tmp_path / "rank0" / "scores.csv").open() as two:
        assert list(csv.reader(one)) == list(csv.reader(two))
    assert not (tmp_path / "rank1" / "scores.csv").exists()

# SPDX-License-Identifier: Apache-2.0
"""Probe and collapse against formulas written out, and inside MONAI's evaluator."""

import math

import pytest
import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from monai.engines import SupervisedEvaluator
from monai.handlers import from_engine

from monai_cl_ext.metrics import EmbeddingCollapse, PartitionProbe


def slices(count=60, width=5, volumes=4, partitions=3, noise=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    partition = torch.randint(-1, partitions, (count,), generator=generator)
    volume = torch.randint(0, volumes, (count,), generator=generator) * 7 + 3
    directions = torch.randn(partitions + 1, width, generator=generator)
    embeddings = directions[partition + 1] + noise * torch.randn(count, width, generator=generator)
    return embeddings * torch.rand(count, 1, generator=generator) * 10, partition, volume


def probe_written_out(embeddings, partition, volume):
    rows = []
    for embedding, part, case in zip(embeddings.double().tolist(), partition.tolist(), volume.tolist(), strict=True):
        norm = math.sqrt(sum(x * x for x in embedding))
        if part >= 0:
            rows.append(([x / norm for x in embedding], part, case))
    recalls = []
    for part in sorted({part for _, part, _ in rows}):
        right, total = 0, 0
        for row, own, case in rows:
            if own != part:
                continue
            cosines = {}
            for candidate in sorted({part for _, part, _ in rows}):
                others = [other for other, q, c in rows if q == candidate and c != case]
                if others:
                    centroid = [sum(column) / len(others) for column in zip(*others, strict=True)]
                    length = math.sqrt(sum(x * x for x in centroid))
                    cosines[candidate] = sum(a * b for a, b in zip(row, centroid, strict=True)) / length
            if own in cosines:
                total += 1
                right += max(cosines, key=cosines.get) == own
        if total:
            recalls.append(right / total)
    return sum(recalls) / len(recalls)


def value(metric, *updates):
    metric.reset()
    for update in updates:
        metric.update(update)
    return metric.compute()


@pytest.mark.parametrize("seed", range(6))
def test_probe_equals_the_definition_written_out(seed):
    columns = slices(count=40, partitions=4, volumes=2 + seed % 3, noise=0.8, seed=seed)
    expected = probe_written_out(*columns)
    assert 0 < expected < 1
    assert value(PartitionProbe(), columns) == pytest.approx(expected, abs=1e-12)
    halves = zip(*(column.split(17) for column in columns), strict=True)
    assert value(PartitionProbe(), *halves) == pytest.approx(expected, abs=1e-12)


def test_a_partition_of_one_volume_alone_is_left_out():
    embeddings, partition, volume = slices(noise=0.3)
    alone = (torch.cat([embeddings, torch.ones(2, 5)]), torch.cat([partition, torch.tensor([9, 9])]), None)
    volume = torch.cat([volume, volume[:1].repeat(2)])
    result = value(PartitionProbe(), (alone[0], alone[1], volume))
    assert result == pytest.approx(probe_written_out(alone[0], alone[1], volume), abs=1e-12)


def test_probe_at_its_ends():
    embeddings, partition, volume = slices(count=90, noise=0.0)
    assert value(PartitionProbe(), (embeddings, partition, volume)) == 1.0
    assert value(PartitionProbe(), (torch.ones_like(embeddings), partition, volume)) == pytest.approx(1 / 3)
    # what tells the volume but not the partition is of no use: leaving the volume out is what makes it so
    own = torch.nn.functional.one_hot(partition + 1 + 4 * (volume // 7)).float()
    assert value(
        PartitionProbe(), (own[partition >= 0], partition[partition >= 0], volume[partition >= 0])
    ) == pytest.approx(1 / 3)
    assert math.isnan(value(PartitionProbe(), (embeddings * math.nan, partition, volume)))
    assert value(PartitionProbe(), (embeddings.bfloat16(), partition, volume)) == 1.0


def test_collapse_is_monais_effective_rank():
    embeddings = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([9, 3, 1, 1, 0.1, 0.01])
    singular = torch.linalg.svdvals(embeddings.double() - embeddings.double().mean(0)).tolist()
    entropy = -sum(s / sum(singular) * math.log(s / sum(singular)) for s in singular)
    assert value(EmbeddingCollapse(), embeddings[:20], embeddings[20:]) == pytest.approx(
        1 - math.exp(entropy) / 6, abs=1e-5
    )
    assert value(EmbeddingCollapse(), torch.ones(8, 4)) == 1.0
    assert value(EmbeddingCollapse(), torch.eye(4).repeat(3, 1)) == pytest.approx(
        0.25, abs=1e-4
    )  # rank 3 of 4: centered


COLUMNS = slices(count=40, noise=0.8)
KEYS = ("embeddings", "partition", "volume")
DECOLLATED = [dict(zip(KEYS, row, strict=True)) for row in zip(*COLUMNS, strict=True)]


@pytest.mark.parametrize(
    "output",
    [COLUMNS, list(COLUMNS), dict(zip(KEYS, COLUMNS, strict=True)), DECOLLATED, tuple(list(c) for c in COLUMNS)],
)
def test_every_form_of_output(output):
    engine = Engine(lambda _, batch: output)
    PartitionProbe().attach(engine, "probe")
    engine.run([0, 1])
    assert engine.state.metrics["probe"] == pytest.approx(probe_written_out(*COLUMNS), abs=1e-12)
    transform = (lambda o: o["embeddings"]) if isinstance(output, dict) else None
    if isinstance(output, list) and output is DECOLLATED:
        transform = from_engine("embeddings")
    collapse = EmbeddingCollapse(transform or (lambda o: o[0]))
    collapse.attach(engine, "collapse")
    engine.run([0, 1])
    assert engine.state.metrics["collapse"] == pytest.approx(value(EmbeddingCollapse(), COLUMNS[0]), abs=1e-5)


@pytest.mark.parametrize("decollate", [True, False])
def test_inside_monais_evaluator_as_key_metric(decollate):
    """Tags travel as the targets, the network gives the embeddings."""
    batches = [tuple(column[start : start + 10] for column in COLUMNS) for start in range(0, 40, 10)]

    def prepare(batch, device, non_blocking, **_):
        return batch[0], {"partition": batch[1], "volume": batch[2]}

    def pick(output):
        if decollate:
            return [{"embeddings": item["pred"], **item["label"]} for item in output]
        return {"embeddings": output["pred"], **output["label"]}

    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=batches,
        epoch_length=4,
        network=torch.nn.Identity(),
        prepare_batch=prepare,
        decollate=decollate,
        key_val_metric={"val_partition_probe": PartitionProbe(pick)},
        additional_metrics={
            "val_collapse": EmbeddingCollapse(from_engine("pred") if decollate else lambda o: o["pred"])
        },
    )
    evaluator.run()
    assert evaluator.state.metrics["val_partition_probe"] == pytest.approx(probe_written_out(*COLUMNS), abs=1e-12)
    assert evaluator.state.best_metric == evaluator.state.metrics["val_partition_probe"]
    assert isinstance(evaluator.state.metrics["val_collapse"], float)


def test_volumes_of_one_patient_do_not_help_each_other():
    embeddings, partition, volume = slices(volumes=6, seed=3)
    number = (volume - 3) // 7
    patients = ["a", "b", "a", "c", "c", "b"]
    owner = torch.tensor(["abc".index(patients[each]) for each in number])
    found = value(PartitionProbe(patients=patients), (embeddings, partition, number))
    assert found == pytest.approx(probe_written_out(embeddings, partition, owner), abs=1e-12)
    assert found != value(PartitionProbe(), (embeddings, partition, number))


def test_what_cannot_be_computed_is_said():
    embeddings, partition, volume = COLUMNS
    with pytest.raises(NotComputableError, match="PartitionProbe saw no images"):
        PartitionProbe().compute()
    with pytest.warns(UserWarning, match="2 patients and 2 partitions, found 1 patients and 3 .*hold out more"):
        assert math.isnan(value(PartitionProbe(), (embeddings, partition, torch.zeros(40))))
    with pytest.warns(UserWarning, match="found 4 patients and 1 partitions.*too short.*lower image_size"):
        assert math.isnan(value(PartitionProbe(), (embeddings, torch.zeros(40), volume)))
    with pytest.warns(UserWarning, match="found 0 patients and 0"):
        assert math.isnan(value(PartitionProbe(), (embeddings, -torch.ones(40), volume)))
    with pytest.raises(ValueError, match=r"'embeddings': \(40, 5\), 'partition': \(3,\)"):
        value(PartitionProbe(), (embeddings, partition[:3], volume))
    with pytest.raises(ValueError, match=r"needs embeddings, partition, volume, found an output with \['pred'\]"):
        value(PartitionProbe(), {"pred": embeddings})
    with pytest.raises(ValueError, match="needs embeddings, partition, volume, found 2 values"):
        value(PartitionProbe(), (embeddings, partition))
    with pytest.raises(ValueError, match="at least 2 embeddings, found 1"):
        value(EmbeddingCollapse(), torch.ones(1, 4))


def test_rows_stay_on_their_device_until_the_end():
    probe = PartitionProbe()
    probe.update(tuple(column.to("meta") for column in COLUMNS))  # anything that reads a value would fail here
    probe.update((COLUMNS[0].requires_grad_(), *COLUMNS[1:]))
    assert not probe._rows[1][0].requires_grad

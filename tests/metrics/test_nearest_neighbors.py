# SPDX-License-Identifier: Apache-2.0
"""Weighted nearest neighbors against the definition written out."""

import math

import pytest
import torch

from monai_cl_ext.metrics import NearestNeighbors, nearest_neighbor_probabilities


def rows(queries=7, references=23, width=5, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    query, reference = (torch.randn(n, width, generator=generator, dtype=torch.float64) for n in (queries, references))
    return query, reference, torch.randint(0, classes, (references,), generator=generator)


def written_out(queries, references, classes, num_classes, k, temperature):
    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    result = []
    for query in queries.tolist():
        pairs = sorted(((cosine(query, reference), label) for reference, label in
                        zip(references.tolist(), classes.tolist(), strict=True)), reverse=True)[:k]  # fmt: skip
        votes = [sum(math.exp(s / temperature) for s, label in pairs if label == c) for c in range(num_classes)]
        result.append([vote / sum(votes) for vote in votes])
    return torch.tensor(result, dtype=torch.float64)


@pytest.mark.parametrize("k, tile", [(1, 4096), (5, 4096), (5, 1), (5, 3), (5, 7), (23, 5), (100, 4096), (100, 2)])
def test_votes_equal_the_definition_for_every_tile(k, tile):
    columns = rows()
    expected = written_out(*columns, 4, k, 0.07)
    found = nearest_neighbor_probabilities(*columns, 4, k, tile=tile)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_lengths_of_embeddings_do_not_matter_and_half_precision_is_left():
    query, reference, classes = rows()
    expected = nearest_neighbor_probabilities(query, reference, classes, 4)
    stretched = nearest_neighbor_probabilities(query * 1e4, reference * torch.rand(23, 1), classes, 4)
    torch.testing.assert_close(stretched, expected)
    with torch.autocast("cpu", torch.bfloat16):
        found = nearest_neighbor_probabilities(query.float(), reference.float(), classes, 4)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_mistakes_are_named():
    query, reference, classes = rows()
    with pytest.raises(ValueError, match=r"queries \(M, D\)"):
        nearest_neighbor_probabilities(query[:, :3], reference, classes, 4)
    with pytest.raises(ValueError, match="at least one embedding, found none"):
        nearest_neighbor_probabilities(query, reference[:0], classes[:0], 4)
    with pytest.raises(ValueError, match="k must be an integer"):
        nearest_neighbor_probabilities(query, reference, classes, 4, k=0)


def test_a_backbone_is_asked_in_evaluation_mode_with_prepared_images():
    class Backbone(torch.nn.Module):
        def forward(self, image):
            assert not self.training and not torch.is_grad_enabled()
            return image.flatten(1)

    query, reference, classes = rows(width=4)
    data = [{"image": row.reshape(1, 2, 2), "class": int(label)} for row, label in zip(reference, classes, strict=True)]
    backbone = Backbone().train()

    def prepare(batch, device):
        return 2 * batch["image"].to(device) + 1, batch["class"].to(device)

    neighbors = NearestNeighbors(backbone, data, 4, prepare, k=3, temperature=0.5, batch_size=5)
    neighbors.fit(torch.device("cpu"))
    expected = nearest_neighbor_probabilities(query, 2 * reference + 1, classes, 4, 3, 0.5)
    torch.testing.assert_close(neighbors(query.reshape(-1, 1, 2, 2)), expected)
    assert backbone.training


@pytest.mark.gpu
def test_nothing_waits_for_the_host():
    columns = [column.to("cuda") for column in rows(50, 300)]
    nearest_neighbor_probabilities(*columns, 4, tile=64)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = nearest_neighbor_probabilities(*columns, 4, tile=64)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = nearest_neighbor_probabilities(*(column.cpu() for column in columns), 4)
    torch.testing.assert_close(found.cpu(), expected)

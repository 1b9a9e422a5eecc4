# SPDX-License-Identifier: Apache-2.0
"""The losses of learned superpixels against loops in float64, and what they change in gradients."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from monai_cl_ext.networks import LNSNet
from monai_cl_ext.superpixel_training import cluster_loss
from monai_cl_ext.superpixel_training.cells import cell_means, from_cells
from monai_cl_ext.superpixel_training.cluster_loss import SuperpixelClusterLoss, nearest_seeds
from monai_cl_ext.superpixel_training.edges import edge_strength
from monai_cl_ext.superpixel_training.gradient_scale import scaled_gradient
from monai_cl_ext.superpixel_training.lnsnet_training import LNSNetTraining
from monai_cl_ext.superpixel_training.reconstruction_loss import SuperpixelReconstructionLoss
from monai_cl_ext.transforms.superpixels.color_place import color_and_place, color_channels
from monai_cl_ext.transforms.superpixels.lnsnet_backend import seed_index


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def means_by_loops(values, assignment, side):
    """Means (B, F, R, C) and reconstruction (B, F, H, W), a pixel and a cell at a time."""
    batch, channels, height, width = values.shape
    rows, columns = height // side, width // side
    means = torch.zeros(batch, channels, rows, columns, dtype=values.dtype)
    told = torch.zeros_like(values)

    def belongs(image, row, column):
        """The cells inside the image to which a pixel belongs, and how much."""
        for number in range(9):
            cell = (row // side + number // 3 - 1, column // side + number % 3 - 1)
            if 0 <= cell[0] < rows and 0 <= cell[1] < columns:
                yield cell, assignment[image, number, row, column]

    for image in range(batch):
        weights = torch.zeros(rows, columns, dtype=values.dtype)
        for row in range(height):
            for column in range(width):
                for cell, share in belongs(image, row, column):
                    means[image, :, cell[0], cell[1]] += share * values[image, :, row, column]
                    weights[cell] += share
        means[image] /= weights + 1e-8
        for row in range(height):
            for column in range(width):
                for cell, share in belongs(image, row, column):
                    told[image, :, row, column] += share * means[image, :, cell[0], cell[1]]
    return means, told


@pytest.mark.parametrize("cells", [(1, 1), (1, 3), (2, 3), (4, 2)])
def test_cells_and_their_borders_are_those_of_the_loops(cells):
    side = 3
    size = [side * count for count in cells]
    values, assignment = drawn(2, 2, *size), drawn(2, 9, *size, seed=1).softmax(1)
    means, told = means_by_loops(values, assignment, side)
    assert torch.allclose(cell_means(values, assignment, side), means, atol=1e-12)
    assert torch.allclose(from_cells(means, assignment, side), told, atol=1e-12)


def test_the_neighbors_are_counted_row_by_row():
    """Of a grid of 3 x 3 cells, the pixels of the middle one give themselves to one cell each time."""
    side, values = 2, torch.ones(1, 1, 6, 6, dtype=torch.float64)
    for number in range(9):
        assignment = torch.zeros(1, 9, 6, 6, dtype=torch.float64)
        assignment[0, number, 2:4, 2:4] = 1
        found = cell_means(values, assignment, side)[0, 0]
        assert found.nonzero().tolist() == [[number // 3, number % 3]]
    alone = torch.zeros(1, 9, 6, 6, dtype=torch.float64)
    alone[:, 0] = 1  # all that the first row and column of cells gives is lost
    assert cell_means(values, alone, side)[0, 0].round().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("compactness", [0.0, 3.0])
def test_the_loss_of_superpixel_fcn_is_that_of_the_loops(compactness):
    side, size = 4, (8, 12)
    color, assignment = 20 * drawn(2, 3, *size), drawn(2, 9, *size, seed=1).softmax(1)
    rows, columns = torch.meshgrid(*(torch.arange(extent).double() for extent in size), indexing="ij")
    _, told = means_by_loops(
        torch.cat([color, torch.stack([rows, columns]).expand(2, -1, -1, -1)], 1), assignment, side
    )
    expected = 0.0
    for image in range(2):
        for row in range(size[0]):
            for column in range(size[1]):
                apart = [float(color[image, c, row, column] - told[image, c, row, column]) for c in range(3)]
                moved = [row - float(told[image, 3, row, column]), column - float(told[image, 4, row, column])]
                expected += math.hypot(*apart) + compactness / side * math.hypot(*moved)
    found = SuperpixelReconstructionLoss(compactness, side)(assignment, color)
    assert float(found["loss"]) == pytest.approx(expected / (2 * 8 * 12), rel=1e-10)
    assert float(found["color"] + compactness / side * found["place"]) == pytest.approx(float(found["loss"]))


def test_gradients_are_those_of_the_losses():
    assignment, color = drawn(1, 9, 4, 4).requires_grad_(), drawn(1, 2, 4, 4, seed=1)
    loss = SuperpixelReconstructionLoss(3.0, 2)
    assert gradcheck(lambda given: loss(given.softmax(1), color)["loss"], assignment)
    features = drawn(1, 3, 4, 5, seed=2).requires_grad_()
    assert gradcheck(lambda given: SuperpixelClusterLoss(3)(given, (2, 2)), features)


def cluster_by_loops(features, cells, neighbors):
    batch, channels, height, width = features.shape
    seeds = [
        (int((row + 0.5) * height / cells[0]), int((column + 0.5) * width / cells[1]))
        for row in range(cells[0])
        for column in range(cells[1])
    ]
    pixels = [(row, column) for row in range(height) for column in range(width)]
    total = 0.0
    for image in features:
        q = []
        for row, column in pixels:
            apart = [sum(float(image[c, row, column] - image[c, y, x]) ** 2 for c in range(channels)) for y, x in seeds]
            alike = [1 / (1 + each) for each in apart]
            order = sorted(range(len(seeds)), key=lambda k: (row - seeds[k][0]) ** 2 + (column - seeds[k][1]) ** 2)
            near = set(order[:neighbors])
            q.append([alike[k] / sum(alike) * (k in near) + 1e-16 for k in range(len(seeds))])
        shares = [sum(line[k] for line in q) for k in range(len(seeds))]
        for line in q:
            target = [line[k] ** 2 / shares[k] for k in range(len(seeds))]
            p = [each / sum(target) for each in target]
            total += sum(
                a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b)) for a, b in zip(p, line, strict=True)
            )
    return total / (batch * len(pixels))


@pytest.mark.parametrize("neighbors", [2, 4, 6])
def test_the_loss_of_the_clusters_is_that_of_the_loops(neighbors):
    features = drawn(2, 3, 7, 8)
    found = SuperpixelClusterLoss(neighbors)(features, (2, 3))
    assert float(found) == pytest.approx(cluster_by_loops(features, (2, 3), neighbors), rel=1e-9)


def test_tiles_change_neither_loss_nor_gradient_and_keep_no_distances(monkeypatch):
    features = drawn(2, 3, 24, 20).requires_grad_()
    kept, pixels, cells = [], 24 * 20, (5, 5)

    def loss_gradient_and_largest(tile):
        """Also how many numbers the largest tensor has that is kept for the gradient."""
        monkeypatch.setattr(cluster_loss, "TILE", tile)
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
            loss = SuperpixelClusterLoss(4)(features, cells)
        return loss, torch.autograd.grad(loss, features)[0], max(kept)

    whole, of_whole, most = loss_gradient_and_largest(2 * pixels * 25)
    tiled, of_tiled, fewest = loss_gradient_and_largest(2 * 7 * 25)
    assert most == 2 * pixels * 25 and fewest == 2 * pixels * 4
    assert torch.allclose(whole, tiled, rtol=1e-12) and torch.allclose(of_whole, of_tiled, atol=1e-14)
    monkeypatch.setattr(cluster_loss, "TILE", 7 * 4)
    assert gradcheck(lambda given: SuperpixelClusterLoss(3)(given, (2, 2)), drawn(1, 3, 4, 5).requires_grad_())


def test_a_cluster_alone_or_far_apart_has_a_finite_loss_and_gradient():
    for features, cells in (
        (drawn(1, 2, 4, 4), (1, 1)),
        (1e4 * drawn(1, 2, 4, 4), (2, 2)),
        (drawn(1, 2, 4, 4) * 0, (2, 2)),
    ):
        given = features.float().requires_grad_()
        loss = SuperpixelClusterLoss()(given, cells)
        loss.backward()
        assert loss.isfinite() and given.grad.isfinite().all()


@pytest.mark.parametrize("pixels", [cluster_loss.PIXELS, 5, 1])
def test_the_nearest_seeds_are_nearest_and_the_first_of_equals(pixels, monkeypatch):
    monkeypatch.setattr(cluster_loss, "PIXELS", pixels)
    nearest_seeds.cache_clear()
    size, cells = (6, 7), (2, 3)
    index, found = seed_index(size, cells), nearest_seeds(size, cells, 4)
    assert index.tolist() == [row * 7 + column for row in (1, 4) for column in (1, 3, 5)]
    for pixel, near in enumerate(found.tolist()):
        apart = [(pixel // 7 - int(k) // 7) ** 2 + (pixel % 7 - int(k) % 7) ** 2 for k in index]
        assert near == sorted(range(6), key=lambda k: apart[k])[:4]
    assert nearest_seeds(size, cells, 9).shape == (42, 6)


def test_a_scaled_gradient_leaves_the_values():
    values, factor = drawn(2, 3, 4).requires_grad_(), drawn(3, 1, seed=1)
    found = scaled_gradient(values, factor)
    assert torch.equal(found, values)
    found.square().sum().backward()
    assert torch.allclose(values.grad, 2 * values * factor)


def test_edges_are_sobels():
    ramp = torch.arange(5.0)[None, None, None].expand(1, 1, 4, 5)
    assert torch.equal(edge_strength(ramp)[..., 1:-1], torch.ones(1, 1, 4, 3))
    assert torch.equal(edge_strength(ramp)[..., 0], torch.full((1, 1, 4), 0.5))  # the border is repeated
    image = drawn(2, 1, 6, 5)
    image[1] = 3
    expected = torch.zeros(6, 5, dtype=torch.float64)
    for row in range(6):
        for column in range(5):
            part = [[float(image[0, 0, min(max(row + y, 0), 5), min(max(column + x, 0), 4)]) for x in (-1, 0, 1)]
                    for y in (-1, 0, 1)]  # fmt: skip
            across = sum(share * (line[2] - line[0]) for share, line in zip((1, 2, 1), part, strict=True))
            down = sum(share * (part[2][c] - part[0][c]) for c, share in enumerate((1, 2, 1)))
            expected[row, column] = math.hypot(across, down)
    assert torch.allclose(edge_strength(image)[0, 0], expected / expected.max())
    assert not edge_strength(image)[1].any()


def test_lnsnets_gradients_are_rescaled_as_told():
    """Against the same loss, written out, whose gradients are changed by hand at the two places."""
    torch.manual_seed(0)
    training = LNSNetTraining(LNSNet().double(), n_segments=6, beta=2.0, phi=0.5, neighbors=3).double()
    assert torch.equal(training.level, training.shared())
    training.level.uniform_(0.01, 0.2)
    images = drawn(2, 1, 12, 10)
    color = color_channels(images).double()
    weights = training.network.reconstruction.weight.detach()[:, :, 0, 0].abs()
    shared = torch.stack([weights[:3, c].mean() * weights[3:, c].mean() for c in range(20)])
    assert torch.allclose(training.shared(), shared)

    known = color_and_place(color)
    features = training.network(known)
    leaf = features.detach().requires_grad_()
    told = training.network.reconstruct(leaf)
    told.retain_grad()
    edges = edge_strength(color[:, :1])
    assert (edges >= 0.7).any() and (edges < 0.7).any()

    def at_contours(gradient):
        factor = torch.where(edges >= 0.7, -edges, torch.ones_like(edges))
        return torch.cat([gradient[:, :3], gradient[:, 3:] * factor], 1)

    told.register_hook(at_contours)
    place, tint = (told[:, 3:] - known[:, 3:]).square().mean(), (told[:, :3] - known[:, :3]).square().mean()
    cluster = SuperpixelClusterLoss(3)(leaf, (3, 2))
    loss = cluster + 2 * (tint + 0.5 * place)
    loss.backward()
    features.backward(leaf.grad * (1 - shared / (training.level + shared))[:, None, None])
    expected = {name: value.grad.clone() for name, value in training.network.named_parameters()}
    training.zero_grad()
    found = _in_double(training, images)
    assert found["loss"].item() == pytest.approx(loss.item(), rel=1e-6)
    for name, value in training.network.named_parameters():
        assert torch.allclose(value.grad, expected[name], atol=1e-5, rtol=1e-4), name
    before = training.level.clone()
    training.after_step()
    assert torch.allclose(training.level, (before + shared) / 2)


def _in_double(training, images):
    """The training's own forward and backward; its colors are float32, so the network is, too."""
    training.float()
    losses = training(images, torch.Generator())
    losses["loss"].backward()
    training.double()
    for value in training.parameters():
        value.grad = value.grad.double()
    return losses


@pytest.mark.parametrize("given", [
    lambda: SuperpixelReconstructionLoss(-1.0), lambda: SuperpixelReconstructionLoss(side=0),
    lambda: SuperpixelClusterLoss(0), lambda: LNSNetTraining(LNSNet(), 0), lambda: LNSNetTraining(LNSNet(), beta=-1.0),
])  # fmt: skip
def test_arguments_of_the_losses_are_checked(given):
    with pytest.raises(ValueError, match="must be"):
        given()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="multiples of 16"):
        SuperpixelReconstructionLoss()(torch.zeros(1, 9, 16, 24), torch.zeros(1, 3, 16, 24))
    with pytest.raises(ValueError, match="1 or 3 channels, found"):
        color_channels(torch.zeros(1, 2, 8, 8))

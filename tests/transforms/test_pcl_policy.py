# SPDX-License-Identifier: Apache-2.0
"""PCL's views beside what its release does."""

import numpy as np
import pytest
import torch
from operation_cases import generator, noise
from scipy.ndimage import gaussian_filter

from monai_cl_ext.transforms import pcl_policy
from monai_cl_ext.transforms.operations.elastic import dense_displacement

MARGIN = 60  # pixels at the edges, where the release's noise is smoothed with the zeros outside


def parts(policy, batch_size: int) -> dict[str, torch.Tensor]:
    mirror, group = policy.operations
    names = ["mirror", *(type(operation).__name__ for operation in group.operations)]
    columns = [mirror.columns, *(operation.columns for operation in group.operations)]
    drawn = policy.make_params(batch_size, generator()).split(columns, dim=1)
    return dict(zip(names, drawn, strict=True))


def test_draws_are_the_release_s():
    drawn = parts(pcl_policy(), 4000)
    assert drawn["mirror"].mean(dim=0).abs().max() < 0.05  # each axis half of the time
    assert abs((drawn["mirror"][:, 0] * drawn["mirror"][:, 1]).mean()) < 0.05  # independently
    scaled, turned = drawn["Scaling"][:, 0] != 1, drawn["Rotation"][:, 0] != 0
    bent = (drawn["ElasticDeformation"] != 0).any(dim=1)
    assert torch.equal(scaled, turned) and torch.equal(scaled, bent)
    assert scaled.double().mean().item() == pytest.approx(0.67, abs=0.02)
    magnified, angle = drawn["Scaling"][scaled], drawn["Rotation"][scaled]
    assert 0.7 <= magnified.min() < 0.71 and 1.29 < magnified.max() <= 1.3
    assert (magnified < 1).double().mean().item() == pytest.approx(0.5, abs=0.03)
    assert angle.abs().max() <= 180 and angle.std().item() == pytest.approx(360 / 12**0.5, rel=0.03)


@pytest.mark.parametrize(("side", "points"), [(352, 11), (512, 15)])
def test_displacements_and_their_slopes_are_as_large_as_the_release_s(side, points):
    draw, squares = np.random.default_rng(0), []
    for _ in range(24):
        alpha, sigma = draw.uniform(100, 350), draw.uniform(14, 17)
        field = alpha * gaussian_filter(draw.uniform(-1, 1, (side, side)), sigma, mode="constant")
        inside = field[MARGIN:-MARGIN, MARGIN:-MARGIN]
        squares.append([(inside**2).mean(), (np.diff(inside, axis=0) ** 2).mean()])
    expected = np.sqrt(np.mean(squares, axis=0))
    _, group = pcl_policy(elastic=2.9 / side, elastic_points=points).operations
    elastic = group.operations[-1]
    control = elastic.control(elastic.make_params(24, generator())).double()
    field = side * dense_displacement(control, (side, side))[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    found = [field.pow(2).mean().sqrt().item(), field.diff(dim=2).pow(2).mean().sqrt().item()]
    assert found == pytest.approx(expected.tolist(), rel=0.1)
    assert found[0] == pytest.approx(2.5, rel=0.1)


def test_samples_left_alone_are_mirrored_only():
    policy, image = pcl_policy(), noise(60, 1, 20, 14)
    params = policy.make_params(60, generator())
    made = policy.apply({"image": image}, params)["image"]
    mirrored = [torch.flip(image, axes) for axes in ([], [2], [3], [2, 3])]
    kept = torch.stack([(made - each).abs().flatten(1).amax(dim=1) < 1e-5 for each in mirrored]).any(dim=0)
    assert torch.equal(kept, params[:, 2] == 1)  # the factor of the scale
    assert 10 < kept.sum() < 35


def test_intensities_stay_and_outside_is_0():
    view = {"image": torch.ones(40, 1, 48, 48), "label": torch.ones(40, 1, 48, 48, dtype=torch.uint8)}
    made = pcl_policy()(view, generator())
    assert (made["image"][..., 20:28, 20:28] - 1).abs().max() < 1e-5
    assert made["image"].min() == 0 and made["label"].min() == 0
    inside = made["label"] == 1
    assert made["image"][inside].min() > 0.2 and made["image"][~inside].max() < 0.8

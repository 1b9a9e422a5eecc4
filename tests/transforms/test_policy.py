# SPDX-License-Identifier: Apache-2.0
"""View policies: packing, replay, sizes, and what they refuse; GCL's own."""

import pickle

import pytest
import torch
from operation_cases import generator, noise, size_of

from monai_cl_ext.transforms import (
    AdditiveNoise,
    ClampIntensity,
    Contrast,
    CropResize,
    ElasticDeformation,
    IntensityShift,
    Rotation,
    Translation,
    ViewPolicy,
    basic_policy,
    gcl_finetune_policy,
    gcl_intensity_policy,
    gcl_policy,
    identity_policy,
    moco_policy,
    pcl_policy,
    simclr_policy,
    strong_policy,
    supercl_policy,
    weak_med_policy,
    weak_policy,
)
from monai_cl_ext.transforms.policies import policy as policy_module

POLICIES = {
    "identity": identity_policy,
    "gcl": gcl_policy,
    "intensity": gcl_intensity_policy,
    "finetune": gcl_finetune_policy,
    "pcl": pcl_policy,
    "supercl": supercl_policy,
    "strong": strong_policy,
    "weak": weak_policy,
    "weak_med": weak_med_policy,
    "basic": basic_policy,
    "simclr": simclr_policy,
    "moco": moco_policy,
}
each_policy = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())


@pytest.fixture
def grid_samples(monkeypatch):
    """Counts the calls of grid_sample."""
    from monai_cl_ext.transforms.policies import warp

    calls, original = [], warp.grid_sample
    monkeypatch.setattr(warp, "grid_sample", lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs))
    return calls


@each_policy
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("size", [None, 16])
def test_policies_give_views_of_the_size_asked_for(policy, dims, size):
    view = {"image": noise(4, 1, *size_of(dims)), "label": torch.ones(4, 1, *size_of(dims), dtype=torch.uint8)}
    made = policy(size=size, spatial_dims=dims)(view, generator())
    expected = size_of(dims) if size is None else (16,) * dims
    assert made["image"].shape == (4, 1, *expected) and made["label"].shape == (4, 1, *expected)
    assert made["image"].dtype == torch.float32 and made["label"].dtype == torch.uint8


@each_policy
def test_kept_parameters_replay_the_view(policy):
    policy, view = policy(), {"image": noise(6, 1, 32, 24), "label": torch.randint(4, (6, 1, 32, 24))}
    params = policy.make_params(6, generator(3))
    assert params.shape == (6, policy.columns) and params.device.type == "cpu"
    first = policy(view, generator(3))
    kept = pickle.loads(pickle.dumps((policy, params)))
    again = kept[0].apply(view, kept[1])
    assert all(torch.equal(first[name], again[name]) for name in view)


@each_policy
@pytest.mark.parametrize("dims", [2, 3])
def test_samples_at_once_change_nothing(policy, dims, monkeypatch):
    view = {"image": noise(5, 1, *size_of(dims)), "label": torch.randint(4, (5, 1, *size_of(dims)))}
    made = []
    for cached in (2 * view["image"][0].numel(), 10**9):
        monkeypatch.setattr(policy_module, "CHUNK", cached)
        made.append(policy(size=16, spatial_dims=dims)(view, generator(2)))
    torch.testing.assert_close(made[0]["image"], made[1]["image"])
    assert torch.equal(made[0]["label"], made[1]["label"])
    assert made[0]["label"].dtype == torch.int64


@each_policy
def test_the_input_of_a_policy_is_left_as_it_was(policy):
    view = {"image": noise(4, 1, 32, 24), "label": torch.randint(4, (4, 1, 32, 24))}
    before = {name: map_.clone() for name, map_ in view.items()}
    policy()(view, generator())
    assert all(torch.equal(view[name], before[name]) for name in view)


def test_identity_policy_copies_nothing():
    view = {"image": noise(2, 1, 8, 8)}
    assert identity_policy()(view, generator())["image"] is view["image"]
    assert identity_policy((8, 8))(view, generator())["image"] is view["image"]


def test_a_run_of_spatial_operations_is_one_grid_sample(grid_samples):
    view = {"image": noise(2, 1, 8, 8)}
    ViewPolicy([Rotation(10), Translation(0.1), CropResize(0.8), ElasticDeformation(0.02)])(view, generator())
    assert len(grid_samples) == 1
    ViewPolicy([Rotation(10), IntensityShift(0, 1), Translation(0.1)])(view, generator())
    assert len(grid_samples) == 3
    gcl_intensity_policy()(view, generator())
    assert len(grid_samples) == 3


def test_operations_act_in_their_order():
    image = noise(3, 1, 8, 8)
    clipped_last = ViewPolicy([IntensityShift(2, 2), ClampIntensity(0, 1)])({"image": image}, generator())
    clipped_first = ViewPolicy([ClampIntensity(0, 1), IntensityShift(2, 2)])({"image": image}, generator())
    assert clipped_last["image"].max() == 1
    assert clipped_first["image"].min() >= 2


def test_the_first_run_reaches_the_size_and_the_rest_follow():
    policy = ViewPolicy([Contrast(0.5, 1.5), CropResize(0.5), IntensityShift(0, 1), Rotation(20)], size=(6, 10))
    assert policy({"image": noise(2, 3, 20, 14)}, generator())["image"].shape == (2, 3, 6, 10)


def test_intensities_of_labels_and_superpixels_are_left_alone():
    view = {"image": noise(2, 1, 8, 8), "label": torch.randint(4, (2, 1, 8, 8)), "superpixel": torch.arange(128)}
    view["superpixel"] = view["superpixel"].reshape(2, 1, 8, 8).int()
    made = gcl_intensity_policy()(view, generator())
    assert made["label"] is view["label"] and made["superpixel"] is view["superpixel"]
    assert not torch.equal(made["image"], view["image"])


def test_a_label_may_come_alone():
    label = torch.randint(4, (3, 1, 20, 14))
    policy = gcl_finetune_policy()
    params = policy.make_params(3, generator())
    together = policy.apply({"image": noise(3, 1, 20, 14), "label": label}, params)
    assert torch.equal(policy.apply({"label": label}, params)["label"], together["label"])


def test_voxel_matrix_leads_to_the_voxel_that_is_read():
    """Marks every voxel of the input by its index, nearest: the view holds what the matrix says."""
    policy = ViewPolicy([Rotation(25), CropResize((0.6, 0.9)), Translation(0.05)], size=(9, 15))
    params, size = policy.make_params(4, generator()), (20, 14)
    index = torch.arange(280).reshape(1, 1, *size).expand(4, -1, -1, -1)
    view = policy.apply({"superpixel": index + 1}, params)["superpixel"]
    matrix, checked = policy.voxel_matrix(params, size), 0
    for sample in range(4):
        for i in range(9):
            for j in range(15):
                row, column = (matrix[sample] @ torch.tensor([i, j, 1.0], dtype=torch.float64))[:2].tolist()
                tie = min(abs(place % 1 - 0.5) for place in (row, column)) < 1e-4
                if not tie and 0 <= round(row) < 20 and 0 <= round(column) < 14:
                    assert view[sample, 0, i, j] == round(row) * 14 + round(column) + 1
                    checked += 1
    assert checked > 400


def test_gcl_views_follow_the_release():
    """Boxes of 100 pixels of 192 with corners from 10 to 69; each image has its own factors; clipped to [0, 1.5]."""
    policy = gcl_policy()
    params = policy.make_params(2000, generator())
    matrix = policy.voxel_matrix(params, (192, 192))
    corner = (matrix @ torch.tensor([-0.5, -0.5, 1.0], dtype=torch.float64))[:, :2] + 0.5
    assert corner.min() >= 10 - 1e-3 and corner.max() <= 69 + 1e-3
    assert corner.min() < 10.5 and corner.max() > 68.5
    torch.testing.assert_close(matrix[:, 0, 0] * 192, torch.full((2000,), 100.0, dtype=torch.float64))
    shift, contrast = params[:, 3], params[:, 4]
    assert shift.abs().max() <= 0.3 and (contrast - 1).abs().max() <= 0.3
    assert len(shift.unique()) > 1900 and len(contrast.unique()) > 1900
    image = 4 * noise(8, 1, 24, 24) - 2
    made = policy(({"image": image}), generator())["image"]
    assert made.min() == 0 and made.max() == 1.5


def test_finetuning_leaves_some_images_untouched_and_really_applies_every_action():
    policy = gcl_finetune_policy()
    params = policy.make_params(2000, generator())
    image = noise(2000, 1, 12, 12)
    made = policy.apply({"image": image}, params)["image"]
    untouched = ((made - image).abs().flatten(1).amax(dim=1) < 1e-5).double().mean().item()
    assert untouched == pytest.approx((0.8 * (1 - 0.2 * 7 / 8) * 0.8 * 0.9) * 0.5 * 0.5 * 0.5, abs=0.02)
    touched = {}
    for operation, part in zip(policy.operations, params.split([o.columns for o in policy.operations], 1), strict=True):
        touched[type(operation).__name__] = (part != operation.identity).any(dim=1).double().mean().item()
    expected = {"Rotation": 0.2, "StepRotation": 0.175, "Scaling": 0.2, "Mirror": 0.1}
    expected |= {"ElasticDeformation": 0.5, "Contrast": 0.5, "IntensityShift": 0.5}
    assert touched == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ({}, "holds some of"),
        ({"image": torch.zeros(2, 1, 8, 8), "weights": torch.zeros(2, 1, 8, 8)}, "weights"),
        ({"image": torch.zeros(2, 1, 8, 8), "label": torch.zeros(2, 1, 8, 9)}, "share batch and spatial size"),
        ({"image": torch.zeros(2, 1, 8, 8), "label": torch.zeros(3, 1, 8, 8)}, "share batch and spatial size"),
        ({"image": torch.zeros(2, 1, 8, 8, 8)}, "2 spatial axes"),
        ({"image": torch.zeros(2)}, "batches"),
        ({"image": torch.zeros(2, 1, 8, 8, dtype=torch.uint8)}, "floating point"),
        ({"image": torch.zeros(3, 1, 8, 8)}, "make_params"),
    ],
)
def test_views_that_do_not_fit_are_refused(view, message):
    policy = gcl_policy()
    with pytest.raises(ValueError, match=message):
        policy.apply(view, policy.make_params(2, generator()))


def test_policies_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="spatial_dims=3"):
        ViewPolicy([Rotation(10, spatial_dims=3)])
    with pytest.raises(ValueError, match="one number, or two"):
        ViewPolicy([], size=(8, 8, 8))
    with pytest.raises(ValueError, match="padding"):
        ViewPolicy([], padding_mode="reflection")
    with pytest.raises(TypeError, match="operations"):
        ViewPolicy([torch.nn.ReLU()])


@pytest.mark.gpu
@each_policy
def test_cuda_makes_the_views_of_the_cpu(policy):
    drawn_on_the_cpu = [each for each in policy().operations if not isinstance(each, AdditiveNoise)]
    policy = policy().with_operations(drawn_on_the_cpu)  # noise is each device's own
    view = {"image": noise(6, 3, 96, 96), "label": torch.randint(4, (6, 1, 96, 96))}
    here = policy(view, generator())
    there = policy({name: map_.cuda() for name, map_ in view.items()}, generator())
    torch.testing.assert_close(there["image"].cpu(), here["image"], atol=1e-4, rtol=0)
    assert (there["label"].cpu() == here["label"]).double().mean() > 0.999

# SPDX-License-Identifier: Apache-2.0
"""Groups of operations: all or none, and the same views as without the group."""

import pickle

import pytest
import torch
from operation_cases import generator, noise, size_of

from monai_cl_ext.transforms import (
    ClampIntensity,
    Contrast,
    ElasticDeformation,
    IntensityOperation,
    IntensityShift,
    Mirror,
    OperationGroup,
    RandPolicy,
    Rotation,
    Scaling,
    Translation,
    ViewPolicy,
)


def members(dims: int = 2) -> list:
    """Operations whose parameters are never their identity."""
    return [Scaling(1.1, 1.5, dims), Rotation(40.0, dims), ElasticDeformation(0.03, 3, dims), IntensityShift(0.1, 0.3)]


def touched(operations: list, params: torch.Tensor) -> torch.Tensor:
    """Whether each operation touches each sample, (B, operations)."""
    parts = params.split([operation.columns for operation in operations], dim=1)
    return torch.stack(
        [(part != each.identity).any(dim=1) for each, part in zip(operations, parts, strict=True)], dim=1
    )


def test_a_sample_has_all_or_none_by_the_chance_given():
    found = touched(members(), OperationGroup(members(), probability=0.3).make_params(4000, generator()))
    assert torch.equal(found.all(dim=1), found.any(dim=1))
    assert found[:, 0].double().mean().item() == pytest.approx(0.3, abs=0.02)


def test_members_keep_chances_of_their_own_inside():
    operations = [Scaling(1.1, 1.5), Rotation(40.0, probability=0.5), Mirror((0, 1), axis_probability=0.5)]
    found = touched(operations, OperationGroup(operations, probability=0.6).make_params(4000, generator())).double()
    assert found.mean(dim=0).tolist() == pytest.approx([0.6, 0.3, 0.6 * 0.75], abs=0.03)
    assert (found[:, 1:] <= found[:, :1]).all()


def test_groups_may_hold_groups():
    inner = OperationGroup(members()[:2], probability=0.5)
    policy = ViewPolicy([OperationGroup([inner, *members()[2:]], probability=0.5)])
    params = policy.make_params(4000, generator())
    found = touched(members(), params).double()
    assert found.mean(dim=0).tolist() == pytest.approx([0.25, 0.25, 0.5, 0.5], abs=0.03)
    assert torch.equal(found[:, 0], found[:, 1]) and torch.equal(found[:, 2], found[:, 3])
    plain = ViewPolicy(members())
    view = {"image": noise(6, 1, 20, 14)}
    assert torch.equal(policy.apply(view, params[:6])["image"], plain.apply(view, params[:6])["image"])


@pytest.mark.parametrize("dims", [2, 3])
def test_views_and_matrices_are_those_of_the_same_operations_without_the_group(dims):
    before, after = Translation(0.1, dims), Mirror(0, dims)
    grouped = ViewPolicy([before, OperationGroup(members(dims)), after, Contrast(0.5, 1.5)], spatial_dims=dims)
    plain = ViewPolicy([before, *members(dims), after, Contrast(0.5, 1.5)], spatial_dims=dims)
    assert grouped.columns == plain.columns
    view = {"image": noise(6, 1, *size_of(dims)), "label": torch.randint(5, (6, 1, *size_of(dims)))}
    params = grouped.make_params(6, generator())
    first, second = grouped.apply(view, params), plain.apply(view, params)
    assert all(torch.equal(first[name], second[name]) for name in view)
    assert not torch.equal(first["image"], view["image"])
    assert torch.equal(grouped.voxel_matrix(params, size_of(dims)), plain.voxel_matrix(params, size_of(dims)))


def test_a_closed_group_leaves_its_sample_alone_and_an_open_one_does_not():
    policy = ViewPolicy([OperationGroup(members(), probability=0.5)])
    image, params = noise(40, 1, 20, 14), policy.make_params(40, generator())
    opened = touched(members(), params)[:, 0]
    change = (policy.apply({"image": image}, params)["image"] - image).abs().flatten(1).amax(dim=1)
    assert 0 < opened.sum() < 40
    assert change[~opened].max() < 1e-5 and change[opened].min() > 1e-2


def test_spatial_operations_inside_and_outside_are_sampled_once(monkeypatch):
    from monai_cl_ext.transforms.policies import warp

    calls, original = [], warp.grid_sample
    monkeypatch.setattr(warp, "grid_sample", lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs))
    spatial = [Mirror(), OperationGroup([Rotation(10), OperationGroup([Scaling(0.8, 1.2)])], 0.5), Translation(0.1)]
    ViewPolicy(spatial)({"image": noise(4, 1, 20, 14)}, generator())
    assert len(calls) == 1


def test_kept_parameters_replay_the_view():
    policy, view = ViewPolicy([OperationGroup(members(), probability=0.5)]), {"image": noise(6, 1, 20, 14)}
    policy_kept, params = pickle.loads(pickle.dumps((policy, policy.make_params(6, generator(3)))))
    assert torch.equal(policy_kept.apply(view, params)["image"], policy(view, generator(3))["image"])


def test_a_group_serves_in_a_monai_transform():
    form = RandPolicy(ViewPolicy([OperationGroup(members(), probability=0.5)])).set_random_state(0)
    image = noise(1, 20, 14)
    changed = [not torch.allclose(form(image).as_tensor(), image, atol=1e-4) for _ in range(20)]
    assert 0 < sum(changed) < 20


def test_what_cannot_be_left_alone_is_refused():
    with pytest.raises(ValueError, match="found ClampIntensity"):
        OperationGroup([Rotation(10), ClampIntensity(0, 1)])
    with pytest.raises(ValueError, match="found none"):
        OperationGroup([])
    with pytest.raises(ValueError, match="probability"):
        OperationGroup([Rotation(10)], probability=1.5)
    with pytest.raises(TypeError, match="operations"):
        OperationGroup([torch.nn.ReLU()])
    with pytest.raises(ValueError, match="spatial_dims=3"):
        ViewPolicy([OperationGroup([OperationGroup([Rotation(10, spatial_dims=3)])])])


def test_a_group_is_neither_kind_by_itself():
    """So that nothing takes a group of mixed kinds for one of them."""
    assert not isinstance(OperationGroup(members()), IntensityOperation)

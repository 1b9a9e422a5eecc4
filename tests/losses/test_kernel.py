# SPDX-License-Identifier: Apache-2.0
"""The kernel against its forms written out, and what holds for every loss built on it."""

import numpy as np
import pytest
import torch
from contrast_oracles import assert_same, directed_oracle, joint_oracle, pairwise_oracle, rows
from torch.utils._python_dispatch import TorchDispatchMode

from monai_cl_ext.losses import contrast, different, groupwise, joint, pairwise, same

FORMS = pytest.mark.parametrize("form", [joint, pairwise], ids=["joint", "pairwise"])
LABEL = torch.tensor([0, 1, 0, 2, 1, 0, 3, 2, 1, 4, 5])  # 3, 4 and 5 are alone
GROUP = torch.tensor([0, 1, 1, 0, 2, 2, 0, 1, 2, 2, 9])
ORACLES = {joint: joint_oracle, pairwise: pairwise_oracle}


def loss_of(z, form, label=LABEL, group=None, temperature=0.1, tile=None):
    negative = None if group is None else different(group)
    return contrast(z, same(label), negative, temperature=temperature, form=form, tile=tile)


@FORMS
@pytest.mark.parametrize("group", [None, GROUP], ids=["all-others", "chosen-negatives"])
def test_equals_the_formula_written_out(form, group):
    z = rows(11, 5)
    label = LABEL.tolist()
    negative = (lambda a, k: label[a] != label[k]) if group is None else (lambda a, k: bool(group[a] != group[k]))
    expected = ORACLES[form](z, lambda a, k: label[a] == label[k], negative, 0.1)
    assert_same(loss_of(z, form, group=group), expected, z)


@FORMS
def test_leading_dimensions_are_problems_under_one_mean(form):
    z = rows(2, 3, 6, 4)
    label = torch.tensor([[0, 0, 1, 1, 2, 2], [0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 1, 2]]).expand(2, 3, 6)
    group = torch.arange(6) % 3  # shared by all problems
    number = {joint: [6, 0, 4], pairwise: [6, 0, 12]}[form]

    def of_problem(i, j):
        tag = label[i, j].tolist()
        return ORACLES[form](z[i, j], lambda a, k: tag[a] == tag[k], lambda a, k: a % 3 != k % 3, 0.1)

    expected = sum(of_problem(i, j) * number[j] for i in range(2) for j in (0, 2)) / (2 * sum(number))
    for tile in 1, 4, None:
        assert_same(loss_of(z, form, label, group, tile=tile), expected, z)


@FORMS
@pytest.mark.parametrize("group", [None, GROUP], ids=["all-others", "chosen-negatives"])
@pytest.mark.parametrize("tile", [1, 7, 11, 50])
def test_tile_size_changes_nothing(form, group, tile):
    z = rows(11, 5)
    assert_same(loss_of(z, form, group=group, tile=tile), loss_of(z, form, group=group, tile=11), z)


@FORMS
@pytest.mark.parametrize("group", [None, GROUP], ids=["all-others", "chosen-negatives"])
def test_gradcheck(form, group):
    assert torch.autograd.gradcheck(lambda z: loss_of(z, form, group=group, tile=4), rows(11, 3))


@FORMS
def test_order_and_scale_of_rows_change_nothing(form):
    z, order = rows(11, 5), torch.randperm(11, generator=torch.Generator().manual_seed(1))
    loss = loss_of(z, form, group=GROUP)
    assert_same(loss_of(z[order], form, LABEL[order], GROUP[order]), loss, z)
    scale = torch.logspace(-3, 3, 11, dtype=torch.float64)[:, None]
    assert_same(loss_of(z * scale, form, group=GROUP), loss, z)


@FORMS
def test_computes_in_float32_under_autocast(form):
    z = rows(11, 5).detach().float()
    results = []
    for autocast in False, True:
        leaf = z.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = loss_of(leaf, form, group=GROUP)
        loss.backward()
        assert loss.dtype == torch.float32
        results.append((loss.detach(), leaf.grad))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


@FORMS
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_takes_half_precision_as_float32(form, dtype):
    half = rows(11, 5).detach().to(dtype).requires_grad_()
    single = half.detach().float().requires_grad_()
    loss, expected = loss_of(half, form), loss_of(single, form)
    assert loss.dtype == torch.float32
    assert loss.item() == expected.item()
    (gradient,) = torch.autograd.grad(loss, half)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, single)[0].to(dtype))


@FORMS
def test_stays_finite_and_right_at_low_temperature(form):
    z = rows(11, 5)
    exact = loss_of(z, form, group=GROUP, temperature=0.005)
    single = z.detach().float().requires_grad_()
    loss = loss_of(single, form, group=GROUP, temperature=0.005)
    loss.backward()
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    torch.testing.assert_close(single.grad, torch.autograd.grad(exact, z)[0].float(), rtol=1e-3, atol=1e-3)


@FORMS
@pytest.mark.parametrize("count", [0, 1, 6])
def test_without_any_positive_it_is_zero_and_differentiable(form, count):
    z = torch.randn(count, 4, requires_grad=True)
    loss = loss_of(z, form, torch.arange(count))
    loss.backward()
    assert loss.item() == 0
    assert not z.grad.any()


@FORMS
def test_rows_without_a_positive_only_repel(form):
    z = rows(5, 4)
    alone = torch.tensor([0, 0, 1, 1, 2])
    loss = loss_of(z, form, alone)
    expected = ORACLES[form](z, lambda a, k: alone[a] == alone[k], lambda a, k: alone[a] != alone[k], 0.1)
    assert_same(loss, expected, z)


def test_a_positive_without_negatives_costs_nothing_pairwise():
    z = rows(4, 3)
    loss = contrast(
        z, same(torch.tensor([0, 0, 1, 1])), different(torch.zeros(4)), temperature=0.005, form=pairwise, tile=3
    )
    loss.backward()
    assert loss.item() == 0
    assert not z.grad.any()


@FORMS
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("row", [0, 10])  # a row with positives, and one that is nobody's
def test_broken_rows_show(form, value, row):
    z = rows(11, 5).detach()
    z[row, 2] = value
    assert loss_of(z, form, group=GROUP, tile=2).isnan()


@FORMS
def test_backward_takes_the_incoming_gradient_and_can_be_repeated(form):
    z = rows(11, 5)
    loss = loss_of(z, form)
    (once,) = torch.autograd.grad(loss, z, retain_graph=True)
    (thrice,) = torch.autograd.grad(3 * loss, z)
    torch.testing.assert_close(thrice, 3 * once)


@pytest.mark.parametrize("leading", [(), (2, 3)], ids=["one-problem", "leading-dimensions"])
@pytest.mark.parametrize("negative", [None, different(torch.arange(12) % 3)], ids=["all-others", "chosen-negatives"])
@pytest.mark.parametrize("tile", [1, 5, None])
def test_groupwise_equals_the_formula_written_out(leading, negative, tile):
    """Four groups of three rows; rows of one place are positive where their groups are of one kind."""
    z, place, group = rows(*leading, 12, 5), torch.arange(12) % 3, torch.arange(12) // 3
    kind = [0, 1, 0, 2]

    def attracts(a, k):
        return bool(place[a] == place[k]) and kind[a // 3] == kind[k // 3]

    def repels(a, k):
        return not attracts(a, k) if negative is None else bool(place[a] != place[k])

    def pair(own, a, p):
        paired = {k // 3 for k in range(12) if k != a and attracts(a, k)} - {p // 3}
        return directed_oracle(own, a, p, lambda a, n: repels(a, n) and n // 3 not in paired, 0.1)

    pairs = [(a, p) for a in range(12) for p in range(12) if p != a and attracts(a, p)]
    problems = z.flatten(0, -3) if leading else [z]
    expected = sum(pair(own, a, p) for own in problems for a, p in pairs) / (len(pairs) * len(problems))
    positive = same(place) & same(torch.tensor(kind)[group])
    assert_same(contrast(z, positive, negative, temperature=0.1, form=groupwise(3), tile=tile), expected, z)


def test_groupwise_with_one_group_is_pairwise():
    z, label = rows(10, 4), torch.arange(10) // 2
    expected = contrast(z, same(label), temperature=0.1, form=pairwise)
    assert_same(contrast(z, same(label), temperature=0.1, form=groupwise(10)), expected, z)


class LargestTensor(TorchDispatchMode):
    """Remembers the most elements that any result had."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.elements = max(self.elements, result.numel())
        return result


@FORMS
def test_no_matrix_of_all_pairs_exists_forward_or_backward(form):
    z = torch.randn(256, 4, requires_grad=True)
    label, group = torch.arange(128).repeat(2), torch.arange(256) % 5
    with LargestTensor() as largest:
        loss_of(z, form, label, group, tile=8).backward()
    assert largest.elements == 8 * 256


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@FORMS
def test_same_on_a_gpu(form):
    z = rows(11, 5)
    on_gpu = z.detach().cuda().requires_grad_()
    loss = loss_of(on_gpu, form, LABEL.cuda(), GROUP.cuda(), tile=4)
    loss.backward()
    expected = loss_of(z, form, group=GROUP)
    expected.backward()
    torch.testing.assert_close(loss.cpu(), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(on_gpu.grad.cpu(), z.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "z, others, tags, message",
    [
        (rows(3, 4), torch.rand(5, 6), 8, r"candidates must be \(M, D\) .* found \(5, 6\) for \(3, 4\): give both"),
        (rows(3, 4), torch.rand(4), 7, r"candidates must be \(M, D\) .* found \(4,\) for \(3, 4\)"),
        (rows(2, 3, 4), torch.rand(5, 4), 8, r"candidates must be \(M, D\) .* found \(5, 4\) for \(2, 3, 4\)"),
        (
            rows(3, 4),
            torch.rand(5, 4, device="meta"),
            8,
            "candidates must be on the device of the rows, cpu, found meta",
        ),
        (rows(3, 4), torch.rand(5, 4), 5, "tags must have 8 values, one of each row, then of each candidate, found 5"),
        (rows(3, 4), None, 4, "tags must have 3 values, one of each row, found 4: give every rule"),
    ],
)
def test_candidates_and_tags_that_do_not_fit_are_refused(z, others, tags, message):
    with pytest.raises(ValueError, match=message):
        contrast(z, same(torch.zeros(tags)), temperature=0.1, candidates=others)


@FORMS
def test_without_a_candidate_the_loss_and_its_gradient_are_zero(form):
    z = rows(3, 4)
    loss = contrast(z, same(torch.zeros(3)), temperature=0.1, candidates=torch.rand(0, 4), form=form)
    loss.backward()
    assert loss.item() == 0 and torch.equal(z.grad, torch.zeros_like(z))


def test_tags_that_are_no_tensors_are_refused():
    with pytest.raises(TypeError, match="tags must be tensors, found ndarray: give torch.as_tensor"):
        contrast(rows(3, 4), same(np.zeros(3)), temperature=0.1)


@FORMS
def test_a_second_derivative_is_refused(form):
    """The gradient of the first backward pass holds no graph; it would pass for a constant."""
    z = rows(11, 5)
    with pytest.raises(RuntimeError, match="first derivatives only, found create_graph=True"):
        torch.autograd.grad(loss_of(z, form), z, create_graph=True)


@pytest.mark.parametrize("temperature", [0, -0.1, float("nan"), float("inf")])
def test_a_temperature_that_is_not_above_0_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be a finite number above 0, found"):
        contrast(torch.rand(4, 3), same(torch.tensor([0, 0, 1, 1])), temperature=temperature)

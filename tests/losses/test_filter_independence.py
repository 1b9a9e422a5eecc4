# SPDX-License-Identifier: Apache-2.0
"""Independence of filters: the formula, whose gradient it is, its largest value, precision, refused weights."""

import pytest
import torch

from monai_cl_ext.losses import FilterIndependenceLoss

SHAPES = [(4, 2, 3), (3, 4, 3, 3), (5, 3, 2, 2, 2)]


def weights(seed, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in shapes]


def made(shapes=SHAPES, seed=0):
    torch.manual_seed(seed)
    loss = FilterIndependenceLoss([shape[0] for shape in shapes]).double()
    for coefficients in loss.coefficients:
        coefficients.data = torch.randn_like(coefficients)
    return loss


def by_hand(loss, first, second):
    """Layer by layer, row by row, number by number."""
    layers = []
    for own, other, coefficients in zip(first, second, loss.coefficients, strict=True):
        own, other, rows = own.reshape(len(own), -1), other.detach().reshape(len(other), -1), []
        for row in range(len(own)):
            combined = [
                sum(coefficients[row, j] * other[j, k] for j in range(len(other))) for k in range(other.shape[1])
            ]
            product = sum(own[row, k] * combined[k] for k in range(len(combined)))
            squares = sum(value**2 for value in own[row]), sum(value**2 for value in combined)
            rows.append(product**2 / (squares[0] * squares[1]))
        layers.append(sum(rows) / len(rows))
    return sum(layers) / len(layers)


def test_value_and_gradients_are_those_of_the_formula():
    loss, first, second = made(), weights(1), weights(2)
    found, expected = loss(first, second), by_hand(loss, first, second)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    leaves = [*first, *loss.coefficients]
    for gradient, wanted in zip(*(torch.autograd.grad(each, leaves) for each in (found, expected)), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-12)
        assert wanted.abs().max() > 1e-3


def test_the_second_network_gets_no_gradient():
    first, second = weights(1), weights(2)
    made()(first, second).backward()
    assert all(each.grad is None for each in second) and all(each.grad is not None for each in first)


def test_a_copy_is_dependent_and_orthogonal_filters_are_not():
    loss, (first,) = made([(3, 5, 2)]), weights(1, [(3, 5, 2)])
    loss.coefficients[0].data = torch.eye(3, dtype=torch.float64)
    assert loss([first], [-2 * first]).item() == pytest.approx(1)
    rows = torch.eye(6, dtype=torch.float64).view(2, 3, 6)
    assert loss([rows[0]], [rows[1]]) == 0
    scaled = loss([7 * first], [first.flip(0)])
    torch.testing.assert_close(scaled, loss([first], [first.flip(0)]), rtol=0, atol=1e-14)


def test_its_largest_value_is_the_share_of_each_filter_in_the_others_span():
    """What the coefficients are fitted for; the share is that of the least squares."""
    shapes = [(3, 8)]
    loss, first, second = made(shapes), weights(1, shapes), weights(2, shapes)
    optimizer = torch.optim.Adam(loss.parameters(), 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        (-loss(first, second)).backward()
        optimizer.step()
    span = torch.linalg.qr(second[0].detach().T).Q
    share = (first[0].detach() @ span).square().sum(1) / first[0].detach().square().sum(1)
    assert loss(first, second).item() == pytest.approx(share.mean().item(), abs=1e-4) and 0.1 < share.mean() < 0.7


def test_gradcheck():
    loss, first, second = made(), weights(1), weights(2)
    assert torch.autograd.gradcheck(lambda *own: loss(own, second), first)
    names = [name for name, _ in loss.named_parameters()]

    def of_coefficients(*given):
        return torch.func.functional_call(loss, dict(zip(names, given, strict=True)), (first, second))

    assert torch.autograd.gradcheck(of_coefficients, [each.detach().requires_grad_() for each in loss.parameters()])


def test_coefficients_begin_near_zero_and_filters_that_are_zero_count_as_independent():
    loss = FilterIndependenceLoss([64, 64])
    numbers = torch.cat([each.detach().flatten() for each in loss.parameters()])
    assert numbers.std().item() == pytest.approx(1e-3, rel=0.05) and abs(numbers.mean().item()) < 1e-4
    own = torch.zeros(64, 3).requires_grad_()
    found = loss([own, own], [torch.ones(64, 3), torch.zeros(64, 3)])
    found.backward()
    assert found.item() == 0 and own.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_autocast_are_computed_in_float32(dtype):
    loss = made([(8, 40)]).float()
    half = [each.detach().to(dtype).requires_grad_() for seed in (1, 2) for each in weights(seed, [(8, 40)])]
    expected = loss([half[0].float()], [half[1].float()])
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found = loss([half[0]], [half[1]])
        assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_bad_arguments_are_named():
    loss, first, second = made(), weights(1), weights(2)
    with pytest.raises(ValueError, match=r"weights of 3 layers of \[4, 3, 5\] filters, .* two networks of one arch"):
        loss(first[:2], second[:2])
    with pytest.raises(ValueError, match="of the same shapes in both"):
        loss(first, [*second[:2], second[2][:, :2]])
    with pytest.raises(ValueError, match="filters is empty"):
        FilterIndependenceLoss([])
    with pytest.raises(ValueError, match="filters must be an integer of at least 1, found 0"):
        FilterIndependenceLoss([4, 0])

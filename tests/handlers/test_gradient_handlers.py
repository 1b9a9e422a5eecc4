# SPDX-License-Identifier: Apache-2.0
"""Gradients that are clipped one by one, and gradients that are dropped in the first epochs."""

import pytest
import torch
from monai.engines.utils import IterationEvents
from torch import nn

from monai_cl_ext.engines import MethodTrainer
from monai_cl_ext.handlers import ClipEachGradient, DropGradients
from monai_cl_ext.methods import Method


class Two(Method):
    """Two parameters whose gradients are the batch and a tenth of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 1, bias=False)
        self.second = nn.Linear(4, 1, bias=False)
        for layer in (self.first, self.second):
            nn.init.zeros_(layer.weight)

    @property
    def predictor(self):
        return self

    views = 1

    def forward(self, views, tags):
        return {"loss": (self.first(views[0]["image"]) + self.second(views[0]["image"] / 10)).sum()}


def run(batches, make_handlers, epochs=1, **arguments):
    """The weights after the run; the optimizer takes steps of the gradient itself, with weight decay if given."""
    method = Two()
    decay = arguments.pop("decay", 0.0)
    optimizer = torch.optim.SGD(method.parameters(), lr=1.0, weight_decay=decay)
    engine = MethodTrainer(
        torch.device("cpu"), epochs, [{"image": batch} for batch in batches], method, optimizer,
        lambda batch, *_, **__: ([batch], {}, ({},), {}), train_handlers=make_handlers(method, optimizer), **arguments,
    )  # fmt: skip
    engine.run()
    return method.first.weight.detach()[0], method.second.weight.detach()[0]


def clip(method, optimizer):
    return [ClipEachGradient(optimizer, 3.0)]


def test_each_parameter_is_clipped_to_its_own_norm():
    gradient = torch.tensor([[30.0, 40.0, 0.0, 0.0]])  # of norm 50, and 5 for the second parameter
    first, second = run([gradient], clip)
    torch.testing.assert_close(first, -torch.tensor([1.8, 2.4, 0.0, 0.0]))
    torch.testing.assert_close(second, -torch.tensor([1.8, 2.4, 0.0, 0.0]))
    first, second = run([gradient / 10], clip)
    torch.testing.assert_close(first, -torch.tensor([1.8, 2.4, 0.0, 0.0]))
    torch.testing.assert_close(second, -torch.tensor([0.3, 0.4, 0.0, 0.0]))  # of norm 0.5: left alone


def test_accumulated_gradients_are_clipped_as_a_whole():
    batches = [torch.tensor([[40.0, 0.0, 0.0, 0.0]]), torch.tensor([[0.0, 4.0, 0.0, 0.0]])]
    mean = torch.tensor([20.0, 2.0, 0.0, 0.0])
    first, second = run(batches, clip, accumulation_steps=2)
    torch.testing.assert_close(first, -3 * mean / mean.norm())
    torch.testing.assert_close(second, -mean / 10)


def test_parameters_without_a_gradient_are_passed_over():
    def drop_all(method, optimizer):
        return [DropGradients(method), *clip(method, optimizer)]

    assert not any(weight.any() for weight in run([torch.ones(1, 4)], drop_all))
    with pytest.raises(ValueError, match="maximum_norm"):
        ClipEachGradient(torch.optim.SGD([nn.Parameter(torch.zeros(1))]), 0.0)


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_a_module_stays_in_the_first_epochs_and_moves_after(epochs, accumulation):
    seen = []

    class Watch:
        def __init__(self, method):
            self.method = method

        def attach(self, engine):
            engine.add_event_handler(IterationEvents.MODEL_COMPLETED, lambda engine: seen.append(
                (engine.state.epoch, bool(self.method.first.weight.any()), bool(self.method.second.weight.any()))
            ))  # fmt: skip

    def handlers(method, optimizer):
        return [DropGradients(method.first, epochs), Watch(method)]

    run([torch.ones(1, 4)] * 2, handlers, epochs=3, accumulation_steps=accumulation, decay=0.1)
    whole = seen[accumulation - 1 :: accumulation]
    assert len(whole) == 6 // accumulation
    assert all(first == (epoch > epochs) and second for epoch, first, second in whole)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_module_stays_in_the_first_steps_of_the_optimizer(accumulation):
    def handlers(method, optimizer):
        return [DropGradients(method.first, epochs=0, steps=3)]

    first, second = run([torch.ones(1, 4)] * 4, handlers, epochs=2, accumulation_steps=accumulation)
    steps = 8 // accumulation
    assert (first[0], second[0]) == (3 - steps, pytest.approx(-0.1 * steps))

# SPDX-License-Identifier: Apache-2.0
"""Schedules: the release's arrays, set by MONAI's handler before each iteration, whatever came before."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers import ParamSchedulerHandler

from monai_cl_ext.engines import cosine_value, phased_cosine, ramp_up_value
from monai_cl_ext.losses import sigmoid_ramp_up


def array(base, final, steps, warmup=0, start=0.0):
    """The release's schedule as an array (methods of Caron et al. 2021)."""
    rest = steps - warmup
    cosine = final + 0.5 * (base - final) * (1 + np.cos(np.pi * np.arange(rest) / rest))
    return np.concatenate([np.linspace(start, base, warmup), cosine])


CASES = {
    "teacher's momentum": {"start": 0.996, "end": 1.0, "steps": 50},
    "weight decay": {"start": 0.04, "end": 0.4, "steps": 50},
    "learning rate": {"start": 5e-4, "end": 1e-6, "steps": 50, "warmup": 10},
    "a start above 0": {"start": 5e-4, "end": 1e-6, "steps": 50, "warmup": 7, "warmup_start": 1e-5},
    "one step of warm-up": {"start": 1.0, "end": 0.0, "steps": 5, "warmup": 1, "warmup_start": 0.25},
    "warm-up alone": {"start": 1.0, "end": 0.0, "steps": 5, "warmup": 5},
}


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_the_release(name):
    case = CASES[name]
    expected = array(case["start"], case["end"], case["steps"], case.get("warmup", 0), case.get("warmup_start", 0.0))
    found = [cosine_value(step, **case) for step in range(1, case["steps"] + 1)]
    assert found == pytest.approx(list(expected), rel=1e-12, abs=1e-15)
    if name != "warm-up alone":
        assert cosine_value(case["steps"] + 1, **case) == pytest.approx(case["end"], abs=1e-15)
        assert cosine_value(case["steps"] + 100, **case) == pytest.approx(case["end"], abs=1e-15)


def seen_by(handlers, holder, epochs=3, length=4, skip=0):
    """What ``holder.value`` is in each iteration."""
    seen = []
    engine = Engine(lambda engine, batch: seen.append(holder.value))
    for handler in handlers:
        handler.attach(engine)
    if skip:
        engine.load_state_dict({"epoch": skip, "max_epochs": epochs, "epoch_length": length})
    engine.run(range(length), max_epochs=epochs)
    return seen


def test_monais_handler_sets_it_before_each_iteration_and_goes_on_after_a_resume():
    holder = SimpleNamespace(value=None)
    handler = ParamSchedulerHandler(
        lambda value: setattr(holder, "value", value), cosine_value,
        {"start": 0.996, "end": 1.0, "steps": 12}, event=Events.ITERATION_STARTED,
    )  # fmt: skip
    expected = list(array(0.996, 1.0, 12))
    assert seen_by([handler], holder) == pytest.approx(expected)
    assert seen_by([handler], holder, skip=2) == pytest.approx(expected[8:])


@pytest.mark.parametrize("warmup", [1, 2, 3, 5])
def test_the_teachers_temperature_is_monais_linear_one(warmup):
    holder = SimpleNamespace(value=None)
    handler = ParamSchedulerHandler(
        lambda value: setattr(holder, "value", value), "linear",
        {"initial_value": 0.04, "step_constant": 1, "step_max_value": warmup, "max_value": 0.07},
        epoch_level=True, event=Events.EPOCH_STARTED,
    )  # fmt: skip
    expected = np.concatenate([np.linspace(0.04, 0.07, warmup), np.ones(6 - warmup) * 0.07])
    assert seen_by([handler], holder, epochs=6, length=1) == pytest.approx(list(expected))


def test_the_learning_rate_of_every_group_follows_it_through_torchs_scheduler():
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)]
    optimizer = torch.optim.SGD(groups, lr=5e-4)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: cosine_value(step + 1, start=1.0, end=1e-6 / 5e-4, steps=30, warmup=10)
    )
    for expected in array(5e-4, 1e-6, 30, 10):
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(2 * [expected])
        optimizer.step()
        scheduler.step()


def test_a_consistency_weight_ramps_up_from_its_first_step_on():
    values = [ramp_up_value(step, value=0.1, steps=20) for step in range(1, 25)]
    assert values == pytest.approx([0.1 * sigmoid_ramp_up(made, 20) for made in range(24)], rel=1e-12)
    assert values[0] == pytest.approx(0.1 * np.exp(-5)) and values[20:] == [0.1] * 4
    assert ramp_up_value(1, value=0.1, steps=0) == 0.1


def test_before_it_begins_a_ramp_up_is_0_and_then_it_is_where_it_would_have_been():
    """As the reference's mean teacher: the consistency is left out of 1000 steps, while its ramp goes on."""
    values = [ramp_up_value(step, value=0.1, steps=20, begin=5) for step in range(1, 25)]
    assert values[:5] == [0.0] * 5
    assert values[5:] == [ramp_up_value(step, value=0.1, steps=20) for step in range(6, 25)]


def test_a_ramp_up_goes_on_after_a_resume():
    holder = SimpleNamespace(value=None)
    handler = ParamSchedulerHandler(
        lambda value: setattr(holder, "value", value), ramp_up_value,
        {"value": 0.1, "steps": 12, "begin": 2}, event=Events.ITERATION_STARTED,
    )  # fmt: skip
    whole = seen_by([handler], holder)
    assert whole == [0.0, 0.0, *(0.1 * sigmoid_ramp_up(made, 12) for made in range(2, 12))]
    assert seen_by([handler], holder, skip=2) == whole[8:]


def test_negative_steps_of_a_ramp_up_are_refused():
    with pytest.raises(ValueError, match="must be at least 0"):
        ramp_up_value(1, value=0.1, steps=-1)


@pytest.mark.parametrize("epochs, batches, rounds", [(10, 3, 3), (8, 7, 3), (5, 1, 1), (9, 2, 0)])
def test_each_phase_is_a_cosine_of_its_own_and_the_last_takes_the_rest(epochs, batches, rounds):
    equal = epochs // (rounds + 1) * batches
    lengths = [equal] * rounds + [epochs * batches - rounds * equal]
    expected = np.concatenate([array(1.0, 0.0, length) for length in lengths])
    given = {"epochs": epochs, "batches_per_epoch": batches, "rounds": rounds}
    found = [phased_cosine(made, **given) for made in range(epochs * batches)]
    np.testing.assert_allclose(found, expected, atol=1e-15)
    assert phased_cosine(epochs * batches, **given) == pytest.approx(0, abs=1e-15)

# SPDX-License-Identifier: Apache-2.0
"""Values as functions of the step, for MONAI's ParamSchedulerHandler."""

from __future__ import annotations

from math import cos, pi

from monai_cl_ext.losses import sigmoid_ramp_up


def cosine_value(
    current_step: int, *, start: float, end: float, steps: int, warmup: int = 0, warmup_start: float = 0.0
) -> float:
    """Half a cosine from ``start`` towards ``end``, after a linear warm-up (the schedules of Caron et al. 2021).

    With n = ``steps`` - ``warmup`` and k steps since the warm-up:

        value = end + (start - end) * (1 + cos(pi * k / n)) / 2

    ``monai.handlers.ParamSchedulerHandler`` takes it as ``value_calculator``, the other arguments as ``vc_kwargs``, and
    ``Events.ITERATION_STARTED`` as ``event``. It remembers nothing, so a resumed run goes on where it was.

    Args:
        current_step: number of the step, 1 for the first, as an engine counts iterations and epochs.
        start: the value when the warm-up is over.
        end: what the last step comes near; the value after it.
        steps: number of steps of the whole run.
        warmup: number of steps of the warm-up; the last of them has ``start``.
        warmup_start: the value of the first step of a warm-up.
    """
    index = current_step - 1
    if index < warmup:
        return warmup_start + (start - warmup_start) * index / max(1, warmup - 1)
    progress = min(1.0, (index - warmup) / max(1, steps - warmup))
    return end + (start - end) * (1 + cos(pi * progress)) / 2


def phased_cosine(made: int, *, epochs: int, batches_per_epoch: int, rounds: int) -> float:
    """Half a cosine from 1 to 0 in each phase of ``methods.SelfTraining``, the factor that ``LambdaLR`` takes.

    Args:
        made: number of the steps made.
        epochs: of the whole run; those left over by equal phases belong to the last one.
        batches_per_epoch: steps of an epoch.
        rounds: phases after the first.
    """
    length = epochs // (rounds + 1) * batches_per_epoch
    phase = min(made // length, rounds)
    begin = phase * length
    return cosine_value(
        made - begin + 1, start=1.0, end=0.0, steps=length if phase < rounds else epochs * batches_per_epoch - begin
    )


def ramp_up_value(current_step: int, *, value: float, steps: int, begin: int = 0) -> float:
    """A value that rises from almost 0 by ``losses.sigmoid_ramp_up``, as the weight of a consistency does.

    Args:
        current_step: number of the step, 1 for the first.
        value: what it reaches.
        steps: from the first step until it is reached; 0 is at once.
        begin: before so many steps are made it is 0; then it jumps onto the ramp, which counts from the first step.
    """
    made = current_step - 1
    return 0.0 if made < begin else value * sigmoid_ramp_up(made, steps)

# SPDX-License-Identifier: Apache-2.0
"""DAN: its losses by hand, which network each trains, the modes that the networks are in, and resume."""

import copy
import math

import pytest
import torch
from ignite.engine import Events
from semi_supervised_cases import SUPERVISED, convolutions, evaluator, gradients, parts, views
from torch import nn

from monai_cl_ext.engines import MethodTrainer
from monai_cl_ext.files import load_tensors
from monai_cl_ext.handlers import EpochSeed, Resume
from monai_cl_ext.methods import DAN
from monai_cl_ext.transforms import PrepareViews, identity_policy


def made(dtype=torch.float32, **more):
    return DAN(convolutions(dtype=dtype), SUPERVISED, 2, evaluator().to(dtype), **more).train()


def crossed(verdict, targets):
    """Cross-entropy of two logits, row by row."""
    total = 0.0
    for (first, second), target in zip(verdict.tolist(), targets, strict=True):
        total += math.log(math.exp(first) + math.exp(second)) - (second if target else first)
    return total / len(targets)


def without_dropout(network):
    for layer in network.modules():
        if isinstance(layer, nn.Dropout2d):
            layer.p = 0.0


def test_the_losses_are_those_of_the_formulas():
    """In float64: the network's on unlabeled rows, the evaluator's on all rows, of maps in evaluation mode."""
    method, (view,) = made(torch.float64, consistency_weight=0.7), views(dtype=torch.float64)
    without_dropout(method)
    network, judge = copy.deepcopy(method.network), method.adversary.discriminator
    losses = method([view], {})
    logits = network(view["image"])
    supervised, consistency = parts(losses, method)
    torch.testing.assert_close(supervised, SUPERVISED(logits[:2], view["label"][:2].long()))
    verdict = judge(logits[2:].softmax(1), view["image"][2:])
    assert consistency.item() == pytest.approx(crossed(verdict, [1, 1]), rel=1e-9)
    verdict = judge(network.eval()(view["image"]).softmax(1), view["image"])
    assert losses["evaluator"].item() == pytest.approx(crossed(verdict, [1, 1, 0, 0]), rel=1e-9)


def test_the_network_learns_through_the_evaluator_and_the_evaluator_from_its_own_loss():
    method, (view,) = made(torch.float64, consistency_weight=0.7), views(dtype=torch.float64)
    without_dropout(method)
    network, judge = copy.deepcopy(method.network), copy.deepcopy(method.adversary.discriminator).requires_grad_(True)
    found = gradients(method([view], {})["loss"], method.network)
    logits = network(view["image"])
    fooled = -judge(logits[2:].softmax(1), view["image"][2:]).log_softmax(1)[:, 1].mean()
    loss = SUPERVISED(logits[:2], view["label"][:2].long()) + 0.7 * fooled
    for one, other in zip(found, gradients(loss, network), strict=True):
        torch.testing.assert_close(one, other)
    optimizer = torch.optim.Adam(judge.parameters(), 1e-3, (0.9, 0.99))
    with torch.no_grad():
        maps = network.eval()(view["image"]).softmax(1)
    log = judge(maps, view["image"]).log_softmax(1)
    (-(log[:2, 1].sum() + log[2:, 0].sum()) / 4).backward()
    optimizer.step()
    method.after_step()
    for one, other in zip(method.adversary.discriminator.parameters(), judge.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_neither_loss_reaches_the_others_network():
    method = made()
    method(views(), {})["loss"].backward()
    assert all(parameter.grad is not None for parameter in method.network.parameters())
    assert all(parameter.grad is None for parameter in method.adversary.parameters())
    before = [parameter.clone() for parameter in method.network.parameters()]
    method.after_step()
    assert all(torch.equal(one, other) for one, other in zip(method.network.parameters(), before, strict=True))


def test_dropout_is_for_the_evaluators_learning_alone():
    method = made()
    losses = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        losses.append(method(views(), {}))
    assert torch.equal(losses[0]["consistency"], losses[1]["consistency"])
    assert not torch.equal(losses[0]["evaluator"], losses[1]["evaluator"])
    assert all(module.training for module in method.modules())


def test_judging_leaves_the_modes_of_the_evaluator_as_they_were():
    """Of each of its layers, and also when it stops on an error."""
    method, (view,) = made(), views()
    still = method.adversary.discriminator.of_maps.eval()
    method([view], {})
    assert not still.training and method.adversary.discriminator.layers.training
    with pytest.raises(ValueError, match="found 7 and 1"):
        method.taken_for_labelled(torch.rand(2, 7, 32, 32), torch.rand(2, 1, 32, 32))
    assert method.adversary.training and not still.training and method.adversary.discriminator.layers.training


def test_what_the_evaluator_learns_from_leaves_no_trace_in_running_statistics():
    method, (view,) = made(), views()
    plain = copy.deepcopy(method.network)
    plain(view["image"])
    method([view], {})
    for one, other in zip(method.network.buffers(), plain.buffers(), strict=True):
        assert torch.equal(one, other)


def test_out_of_training_nothing_is_learned():
    method = made().eval()
    before = copy.deepcopy(method.adversary.state_dict())
    with torch.no_grad():
        method(views(), {})
    method.after_step()
    assert all(torch.equal(value, before[key]) for key, value in method.adversary.state_dict().items())
    assert not any(module.training for module in method.modules())


def test_autocast_changes_little():
    method = made()
    without_dropout(method)
    expected = method(views(), {})
    with torch.autocast("cpu", torch.bfloat16):
        found = method(views(), {})
    for key, value in found.items():
        assert value.dtype == torch.float32 and value.item() == pytest.approx(expected[key].item(), rel=0.03), key


class Stopped(Exception):
    """What breaks a run off."""


def stop(engine):
    raise Stopped


def run(folder, resume=False, stop_at=None, accumulation=1):
    """Three epochs of four batches; ``stop_at`` breaks off as an epoch begins."""
    method, prepare = made(), PrepareViews([identity_policy()])
    optimizer = torch.optim.SGD([each for each in method.parameters() if each.requires_grad], 0.03, 0.9)
    state = {"method": method, "optimizer": optimizer}
    handlers = [EpochSeed(0, [prepare, method]), Resume(state, str(folder), resume, settings={"method": method})]
    batches = [{key: value.roll(shift, -1) for key, value in views()[0].items()} for shift in range(4)]
    engine = MethodTrainer(
        torch.device("cpu"), 3, batches, method, optimizer, prepare, accumulation_steps=accumulation,
        train_handlers=handlers,
    )  # fmt: skip
    if stop_at:
        engine.add_event_handler(Events.EPOCH_STARTED(once=stop_at), stop)
    engine.run()
    return method


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(tmp_path / "parts", stop_at=3)
    resumed = run(tmp_path / "parts", resume=True)
    states = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    left = [load_tensors(tmp_path / part / "resume_checkpoint_3.pt")["method_evaluator"]["state"]
            for part in ("whole", "parts")]  # fmt: skip
    assert len(left[0]) == len(left[1]) == len(list(whole.adversary.parameters()))
    for index, moments in left[0].items():
        assert int(moments["step"]) == 12
        assert all(torch.equal(value, left[1][index][name]) for name, value in moments.items())


def test_the_evaluator_moves_once_a_real_step(tmp_path):
    state = run(tmp_path, accumulation=2).adversary.optimizer.state
    assert {int(each["step"]) for each in state.values()} == {6}

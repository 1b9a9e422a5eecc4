# SPDX-License-Identifier: Apache-2.0
"""Resume: a broken-off run goes on as if nothing had happened, and refuses what does not fit."""

import pytest
import torch
from ignite.engine import Events
from noisy_run import Broken, break_off, make, same, weights

from monai_cl_ext.handlers import resume as resume_module


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path):
    whole = make(tmp_path / "whole", resume=False)
    whole.run()

    broken = make(tmp_path / "broken", resume=False)
    break_off(broken, epoch=3)
    with pytest.raises(Broken):
        broken.run()
    assert not (tmp_path / "broken" / "final.pt").exists()
    resumed = make(tmp_path / "broken", resume=True)
    assert resumed.state.epoch == 2
    resumed.run()
    assert same(weights(whole), weights(resumed))
    assert resumed.state.epoch == 4 and resumed.state.iteration == 12
    final = torch.load(tmp_path / "broken" / "final.pt", weights_only=True)
    assert torch.equal(final["0.weight"], whole.method.network[0].weight)


def test_another_seed_gives_other_weights(tmp_path):
    first, second = make(tmp_path / "a", False), make(tmp_path / "b", False, seed=1)
    first.run()
    second.run()
    assert not same(weights(first), weights(second))


def test_a_completed_run_is_not_trained_again(tmp_path):
    first = make(tmp_path, resume=False)
    first.run()
    (tmp_path / "final.pt").unlink()
    again = make(tmp_path, resume=True)
    again.run()
    assert same(weights(first), weights(again))
    assert again.state.epoch == 4
    assert (tmp_path / "final.pt").exists()


def test_without_a_state_it_starts_at_the_beginning(tmp_path):
    engine = make(tmp_path, resume=True)
    engine.run()
    assert engine.state.epoch == 4


def test_two_states_are_kept_across_a_resume(tmp_path):
    broken = make(tmp_path, resume=False)
    break_off(broken, epoch=4)
    with pytest.raises(Broken):
        broken.run()
    make(tmp_path, resume=True).run()
    names = sorted(path.name for path in (tmp_path / "resume").iterdir())
    assert names == ["resume_checkpoint_3.pt", "resume_checkpoint_4.pt"]


def test_a_new_run_replaces_the_states_of_the_last_one(tmp_path):
    make(tmp_path, resume=False).run()
    fresh = make(tmp_path, resume=False)
    break_off(fresh, epoch=2)
    with pytest.raises(Broken):
        fresh.run()
    assert [path.name for path in (tmp_path / "resume").iterdir()] == ["resume_checkpoint_1.pt"]


def test_other_settings_are_refused_by_name(tmp_path):
    make(tmp_path, resume=False).run()
    with pytest.raises(ValueError, match=r"rate: was 0.05, is 0.1"):
        make(tmp_path, resume=True, rate=0.1)


def test_another_network_is_refused(tmp_path):
    make(tmp_path, resume=False).run()
    with pytest.raises(ValueError, match="does not fit this run"):
        make(tmp_path, resume=True, width=8)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(tmp_path):
    engine = make(tmp_path, resume=False)

    def poison(engine):
        if engine.state.epoch == 2:
            with torch.no_grad():
                engine.method.network[0].weight.fill_(float("nan"))

    engine.add_event_handler(Events.ITERATION_STARTED, poison)
    with pytest.raises(FloatingPointError, match="epoch 2"):
        engine.run()
    assert [path.name for path in (tmp_path / "resume").iterdir()] == ["resume_checkpoint_1.pt"]
    assert not (tmp_path / "final.pt").exists()


def test_workers_that_persist_change_nothing(tmp_path):
    persistent = {"num_workers": 1, "persistent_workers": True}
    whole = make(tmp_path / "whole", resume=False)
    whole.run()
    for name, loading in (("fresh", {}), ("persistent", persistent)):
        engine = make(tmp_path / name, resume=False, **loading)
        break_off(engine, epoch=3)
        with pytest.raises(Broken):
            engine.run()
        resumed = make(tmp_path / name, resume=True, **persistent)
        resumed.run()
        assert same(weights(resumed), weights(whole))


def test_another_number_of_processes_is_refused(tmp_path, monkeypatch):
    make(tmp_path, resume=False, epochs=1).run()
    monkeypatch.setattr(resume_module, "world_size", lambda: 2)
    with pytest.raises(ValueError, match="processes: was 1, is 2"):
        make(tmp_path, resume=True, epochs=1)

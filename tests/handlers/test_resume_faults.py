# SPDX-License-Identifier: Apache-2.0
"""What befalls a run while it saves, and what befalls its states: every kept state can be resumed from."""

import multiprocessing
import os
import pickle
import random
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from noisy_run import (
    Broken,
    break_off,
    die_while_saving,
    make,
    names,
    one_of_two,
    poison_gradients,
    run_out_of_space,
    same,
    weights,
)

from monai_cl_ext.handlers import SaveWeights

EPOCHS = 6


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in the child processes: results depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def processes():
    """Children of a process of its own, which has imported MONAI once and used no thread yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["noisy_run"])
        yield context


def exit_codes(processes, action, *arguments):
    """Runs the action in one child for each tuple of arguments, all at once."""
    children = [processes.Process(target=action, args=each) for each in arguments]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    return [child.exitcode for child in children]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    engine = make(tmp_path_factory.mktemp("whole"), False, EPOCHS)
    engine.run()
    return weights(engine)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a run that was stopped in its fifth epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    engine = make(folder, False, EPOCHS)
    break_off(engine, 5)
    with pytest.raises(Broken):
        engine.run()
    return folder


@pytest.fixture
def copied(stopped, tmp_path):
    shutil.copytree(stopped, tmp_path / "run")
    return tmp_path / "run"


def goes_on(folder, whole, epoch):
    """The run resumes after an epoch, ends like the one that nothing befell, and leaves two states and nothing else."""
    engine = make(folder, True, EPOCHS)
    assert engine.state.epoch == epoch
    engine.run()
    assert same(whole, weights(engine))
    assert names(folder / "resume") == ["resume_checkpoint_5.pt", "resume_checkpoint_6.pt"]
    final = torch.load(folder / "final.pt", weights_only=True)
    assert all(torch.equal(value, whole[f"network.{name}"]) for name, value in final.items())
    assert [name for name in names(folder) if "final" in name] == ["final.pt"]


def kept_before(epoch):
    return [f"resume_checkpoint_{number}.pt" for number in range(max(1, epoch - 2), epoch)]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["half written", "not yet in place", "in place"])
@pytest.mark.parametrize("number", [1, 2, 3, 5, EPOCHS + 1])
def test_a_run_that_is_killed_while_it_saves_goes_on(processes, tmp_path, whole, number, moment):
    assert exit_codes(processes, die_while_saving, (str(tmp_path), number, moment, EPOCHS)) == [-signal.SIGKILL]
    hidden = [path for path in tmp_path.rglob(".*") if path.is_file()]
    assert len(hidden) == (moment != "in place"), "the child did not die where it should"
    visible = kept_before(number) + [f"resume_checkpoint_{number}.pt"] * (moment == "in place")
    assert number > EPOCHS or [path.name for path in sorted((tmp_path / "resume").glob("r*"))] == visible
    goes_on(tmp_path, whole, min(EPOCHS, number if moment == "in place" else number - 1))


def test_a_new_run_removes_what_a_killed_one_left_behind(processes, tmp_path):
    exit_codes(processes, die_while_saving, (str(tmp_path), 4, "half written", EPOCHS))
    assert any(name.startswith(".") for name in names(tmp_path / "resume"))
    living = tmp_path / "resume" / f".resume_checkpoint_9.pt.{os.getppid()}"
    living.touch()
    make(tmp_path, False, 1).run()
    assert names(tmp_path / "resume") == [living.name, "resume_checkpoint_1.pt"]


@pytest.mark.parametrize("size", [0, 1000, 5000])
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_space(processes, tmp_path, whole, epoch, size):
    """A limit on the size of files stands for the full disk: the error comes from the system's own write."""
    assert exit_codes(processes, run_out_of_space, (str(tmp_path), epoch, size, EPOCHS)) == [0]
    error = (tmp_path / "error").read_text()
    assert "nothing of it was written; free space and run again" in error and f"checkpoint_{epoch}.pt" in error
    assert names(tmp_path / "resume") == kept_before(epoch)
    goes_on(tmp_path, whole, epoch - 1)


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    """/dev/full accepts no byte."""
    engine = make(tmp_path, False)
    save = torch.save

    def on_a_full_disk(content, file):
        with open("/dev/full", "wb") as full:
            save(content, full if engine.state.epoch == 3 else file)

    monkeypatch.setattr(torch, "save", on_a_full_disk)
    with pytest.raises(OSError, match=r"No space left.*nothing of it was written; free space.*resume_checkpoint_3\.pt"):
        engine.run()
    assert names(tmp_path / "resume") == ["resume_checkpoint_1.pt", "resume_checkpoint_2.pt"]


class Payload:
    """Unpickled, it makes a folder in the working directory."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def flip(path):
    """Turns over one bit of the first tensor's values: the file can be read, and only the checksum tells."""
    state, content = torch.load(path, weights_only=True), bytearray(path.read_bytes())
    values = state["method"]["network.0.weight"].numpy().tobytes()
    content[content.index(values) + 2] ^= 1
    path.write_bytes(content)


def spoil(path, place, value):
    state = torch.load(path, weights_only=True)
    if place == "method":
        state["method"]["network.1.running_var"].view(-1)[-1] = value
    else:
        state["optimizer"]["state"][2]["exp_avg_sq"].view(-1)[0] = value
    torch.save(state, path)


DAMAGE = {
    "empty": (lambda path: path.write_bytes(b""), "EOFError"),
    "cut to the half": (lambda path: cut(path, 0.5), "cannot be read"),
    "cut at the end": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "cannot be read"),
    "a bit turned over": (flip, "checksum"),
    "random bytes": (lambda path: path.write_bytes(random.Random(0).randbytes(5000)), "cannot be read"),
    "zeros": (lambda path: path.write_bytes(bytes(path.stat().st_size)), "cannot be read"),
    "text": (lambda path: path.write_text("no state"), "cannot be read"),
    "a bare state_dict": (lambda path: torch.save(torch.nn.Linear(2, 2).state_dict(), path), "no state of a run"),
    "a list": (lambda path: torch.save([1, torch.ones(2)], path), "no state of a run"),
    "a tensor": (lambda path: torch.save(torch.ones(2), path), "no state of a run"),
    "facts of another program": (lambda path: torch.save({"facts": {"settings": 1}, "engine": {}}, path), "no state"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps(Payload())), "cannot be read"),
    "an object saved by torch": (lambda path: torch.save({"facts": Payload()}, path), "holds objects of .*mkdir"),
    "a weight NaN": (lambda path: spoil(path, "method", float("nan")), r"method\.network\.1\.running_var \(1 of 4"),
    "a moment infinite": (
        lambda path: spoil(path, "optimizer", float("-inf")), r"optimizer\.state\.2\.exp_avg_sq \(1 of"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_state_is_passed_over_with_a_warning(copied, whole, caplog, monkeypatch, case):
    monkeypatch.chdir(copied)
    damage, message = DAMAGE[case]
    newest, before = copied / "resume" / "resume_checkpoint_4.pt", copied / "resume" / "resume_checkpoint_3.pt"
    damage(newest)
    goes_on(copied, whole, 3)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1 and warnings[0].startswith(f"going on from {before}, since")
    assert re.search(f"{re.escape(str(newest))}: .*{message}", warnings[0])
    assert not (copied / "executed").exists()


@pytest.mark.parametrize("case", DAMAGE)
def test_the_older_state_is_not_missed(copied, whole, caplog, case):
    DAMAGE[case][0](copied / "resume" / "resume_checkpoint_3.pt")
    goes_on(copied, whole, 4)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(("absent", "epoch"), [([4], 3), ([3], 4), ([3, 4], 0)])
def test_removed_states_are_done_without(copied, whole, absent, epoch):
    for number in absent:
        (copied / "resume" / f"resume_checkpoint_{number}.pt").unlink()
    goes_on(copied, whole, epoch)


def test_without_a_readable_state_all_are_named_and_removing_them_starts_at_the_beginning(copied, whole):
    states = [copied / "resume" / f"resume_checkpoint_{number}.pt" for number in (3, 4)]
    DAMAGE["cut to the half"][0](states[0])
    DAMAGE["a weight NaN"][0](states[1])
    with pytest.raises(ValueError, match=r"none of the states.*checkpoint_4\.pt.*NaN.*checkpoint_3\.pt.*Remove them"):
        make(copied, True, EPOCHS)
    for path in states:
        path.unlink()
    goes_on(copied, whole, 0)


def test_a_state_of_other_settings_is_refused_and_without_it_the_older_one_serves(copied, whole):
    newest = copied / "resume" / "resume_checkpoint_4.pt"
    state = torch.load(newest, weights_only=True)
    state["facts"]["settings"]["rate"] = 0.5
    torch.save(state, newest)
    with pytest.raises(ValueError, match=r"checkpoint_4\.pt was saved by a run with other settings: rate: was 0\.5"):
        make(copied, True, EPOCHS)
    newest.unlink()
    goes_on(copied, whole, 3)


def test_a_run_of_more_epochs_than_the_states_were_scheduled_for_is_refused(copied):
    newest = copied / "resume" / "resume_checkpoint_4.pt"
    state = torch.load(newest, weights_only=True)
    state["facts"]["settings"]["epochs"] = EPOCHS + 2  # as where the settings do not name them
    torch.save(state, newest)
    with pytest.raises(ValueError, match=f"saved by a run of {EPOCHS} epochs, found {EPOCHS + 2}"):
        make(copied, True, EPOCHS + 2)


def test_a_state_in_the_form_of_ignite_can_be_resumed_from(copied, whole):
    """It lists its own file and one that was removed before it was written."""
    newest = copied / "resume" / "resume_checkpoint_4.pt"
    state = torch.load(newest, weights_only=True)
    listed = [(number, f"resume_checkpoint_{number}.pt") for number in (3, 4)]
    torch.save(state | {"checkpointer": {"_saved": listed}}, newest)
    (copied / "resume" / "resume_checkpoint_3.pt").unlink()
    goes_on(copied, whole, 4)


def test_states_ahead_of_the_run_and_other_files_do_not_count(copied):
    """Those ahead are of an earlier run, or damaged; only names of states are removed."""
    folder = copied / "resume"
    for name in ("resume_checkpoint_7.pt", "resume_checkpoint_12.pt", "resume_checkpoint_copy.pt", "model.pt"):
        (folder / name).write_bytes(b"")
    engine = make(copied, True, EPOCHS)
    break_off(engine, 6)
    with pytest.raises(Broken):
        engine.run()
    assert engine.state.epoch == 6
    assert names(folder) == [
        "model.pt", "resume_checkpoint_4.pt", "resume_checkpoint_5.pt", "resume_checkpoint_copy.pt",
    ]  # fmt: skip


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_a_last_step_that_breaks_the_weights_keeps_the_good_states(tmp_path, epoch, value):
    whole = make(tmp_path / "whole", False)
    whole.run()
    engine = make(tmp_path, False)
    completed = []
    engine.add_event_handler(Events.COMPLETED, completed.append)
    poison_gradients(engine, epoch, value)
    message = rf"checkpoint_{epoch}\.pt was not written.* method\.network\.0\.weight \(9 of 36 values\)"
    with pytest.raises(FloatingPointError, match=message):
        engine.run()
    assert names(tmp_path / "resume") == kept_before(epoch)
    assert not completed and not (tmp_path / "final.pt").exists()
    resumed = make(tmp_path, True)
    assert resumed.state.epoch == epoch - 1
    resumed.run()
    assert same(weights(whole), weights(resumed))


@pytest.mark.parametrize("when", ["completed", "best"])
def test_weights_that_are_not_finite_replace_no_others(tmp_path, when):
    """Also of a run that keeps no states."""
    path = tmp_path / "models" / "model.pt"
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4))
    engine = make(tmp_path, False, 1)
    save = SaveWeights(network, str(path), when)
    engine.state.best_metric_epoch = engine.state.epoch
    action = save.save if when == "completed" else save.save_best
    action(engine)
    good = path.read_bytes()
    for name, value in (("0.weight", float("nan")), ("1.running_mean", float("inf"))):
        kept = network.state_dict()[name].clone()
        network.state_dict()[name].view(-1)[1] = value
        with pytest.raises(FloatingPointError, match=rf"model\.pt was not written.* {name} \(1 of"):
            action(engine)
        network.state_dict()[name].copy_(kept)
        assert path.read_bytes() == good and names(path.parent) == ["model.pt"]
    action(engine)


def told(folder):
    return [(folder / f"told{rank}").read_text() for rank in range(2)]


def test_two_processes_save_once_stop_together_and_resume_alike(processes, tmp_path):
    shared, apart = (str(tmp_path / "shared"),) * 2, (str(tmp_path / "shared"), str(tmp_path / "other"))
    each = [(rank, str(tmp_path), apart, False, 3) for rank in range(2)]
    assert exit_codes(processes, one_of_two, *each) == [0, 0]
    assert all(text.startswith("FloatingPointError") for text in told(tmp_path))
    assert names(tmp_path / "shared") == ["resume_checkpoint_1.pt", "resume_checkpoint_2.pt"]
    assert not (tmp_path / "final.pt").exists() and not (tmp_path / "other").exists()

    (tmp_path / "group").unlink(missing_ok=True)
    cut(tmp_path / "shared" / "resume_checkpoint_2.pt", 0.7)
    each = [(rank, str(tmp_path), shared, True, 0) for rank in range(2)]
    assert exit_codes(processes, one_of_two, *each) == [0, 0]
    assert told(tmp_path) == ["epoch 4", "epoch 4"]
    assert names(tmp_path / "shared") == ["resume_checkpoint_3.pt", "resume_checkpoint_4.pt"]

    (tmp_path / "group").unlink(missing_ok=True)
    (tmp_path / "shared" / "resume_checkpoint_4.pt").unlink()
    each = [(rank, str(tmp_path), apart, True, 0) for rank in range(2)]
    assert exit_codes(processes, one_of_two, *each) == [0, 0]
    assert all("the processes resume after epochs [3, 0]" in text for text in told(tmp_path))


@pytest.mark.parametrize("fault", ["loss", "state", "final weights"])
def test_what_one_process_finds_stops_both(processes, tmp_path, fault):
    """The loss of the second is NaN in epoch 2; something else is where the first writes its states, or weights."""
    states = (tmp_path / "resume", tmp_path / "other")
    if fault == "state":
        states[0].write_text("no folder")
    if fault == "final weights":
        (tmp_path / "final.pt").mkdir()
    each = [(rank, str(tmp_path), states, False, rank if fault == "loss" else 0) for rank in range(2)]
    assert exit_codes(processes, one_of_two, *each) == [0, 0]
    expected = {
        "loss": "FloatingPointError: the loss became NaN or infinite in epoch 2",
        "state": "FileExistsError: .*resume",
        "final weights": "IsADirectoryError: .*nothing of it was written",
    }
    first, second = told(tmp_path)
    assert re.match(expected[fault], first) and second == first
    assert fault != "loss" or names(states[0]) == ["resume_checkpoint_1.pt"]

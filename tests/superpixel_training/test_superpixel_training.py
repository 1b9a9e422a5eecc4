# SPDX-License-Identifier: Apache-2.0
"""Networks of superpixels learn without labels, the same each time, and go on where they were stopped."""

import numpy as np
import pytest
import torch
from command_line import run
from host_to_device import HostToDevice

from monai_cl_ext.data import SliceDataset, find_cases, superpixel_weights, volume_transform, write_phantom
from monai_cl_ext.metrics import superpixel_report
from monai_cl_ext.superpixel_training.plan import SuperpixelPlan
from monai_cl_ext.superpixel_training.training import content_of, drawn, train_step, train_superpixels
from monai_cl_ext.transforms import Superpixel
from monai_cl_ext.transforms.superpixels.weights import save_weights, settings_of

BACKENDS = ("lnsnet", "superpixel_fcn")
each_backend = pytest.mark.parametrize("backend", BACKENDS)


class Few:
    """Three small slices of noise."""

    def __init__(self, seed: int = 0) -> None:
        self.images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"image": self.images[index]}


class Stopped(Exception):
    """Stands for Ctrl-C or the end of a machine."""


def stopping(line: str) -> None:
    if line.startswith("step 4 "):
        raise Stopped


@pytest.fixture
def kept_often(monkeypatch):
    monkeypatch.setattr("monai_cl_ext.superpixel_training.training.KEPT_EVERY", 2)


def trained(folder, backend, name="weights.pt", slices=None, tell=lambda line: None, **plan):
    file = folder / name
    given = {"n_segments": 4, "steps": 4, **plan}
    return train_superpixels(slices or Few(), SuperpixelPlan(backend, **given), file, {"pixdim": 2.0}, tell=tell), file


def state_of(file):
    return torch.load(file, weights_only=True)["state_dict"]


def same(first, other):
    assert set(first) == set(other)
    return all(torch.equal(first[name], other[name]) for name in first)


@each_backend
def test_one_seed_gives_one_result_and_another_another(backend, tmp_path):
    random = torch.get_rng_state()
    first, again, other = (
        state_of(trained(tmp_path, backend, f"{number}.pt", seed=seed)[1]) for number, seed in enumerate((0, 0, 1))
    )
    assert same(first, again) and not same(first, other)
    assert torch.equal(random, torch.get_rng_state())
    assert not list(tmp_path.glob("*.checkpoint"))


@each_backend
def test_a_training_that_was_stopped_ends_as_one_that_was_not(backend, tmp_path, kept_often):
    told = []
    _, whole = trained(tmp_path, backend, "whole.pt", steps=6, tell=told.append)
    assert [line.split(":")[0] for line in told] == ["step 2 of 6", "step 4 of 6", "step 6 of 6"]
    with pytest.raises(Stopped):
        trained(tmp_path, backend, "stopped.pt", steps=6, tell=stopping)
    assert not (tmp_path / "stopped.pt").exists()
    told.clear()
    _, file = trained(tmp_path, backend, "stopped.pt", steps=6, tell=told.append)
    assert told[0] == "goes on at step 2 of 6" and same(state_of(whole), state_of(file))


@each_backend
def test_what_is_there_is_not_trained_again_nor_overwritten(backend, tmp_path):
    done, file = trained(tmp_path, backend)
    before = file.read_bytes()
    assert done and not trained(tmp_path, backend)[0] and file.read_bytes() == before
    found = settings_of(file)
    assert found["backend"] == backend and found["steps"] == 4 and found["pixdim"] == 2.0 and found["slices"] == 3
    for change in ({"steps": 5}, {"seed": 3}, {"slices": Few(1)}):
        name = "content" if "slices" in change else next(iter(change))
        with pytest.raises(ValueError, match=rf"weights\.pt: is of a training with {name} .* give another --output"):
            trained(tmp_path, backend, **change)
    other = next(name for name in BACKENDS if name != backend)
    with pytest.raises(ValueError, match=f"backend '{backend}' .now '{other}'"):
        trained(tmp_path, other)


@each_backend
def test_a_step_copies_images_and_what_it_drew_and_nothing_else(backend):
    """On torch's meta device; what is alike in every step stays there."""
    training = SuperpixelPlan(backend, n_segments=4).build().to("meta").train()
    optimizer = torch.optim.Adam(training.parameter_groups())
    train_step(training, optimizer, Few(), 0, 0, "meta")
    with HostToDevice() as sent:
        train_step(training, optimizer, Few(), 1, 0, "meta")
    assert len(sent.seen) == {"lnsnet": 2, "superpixel_fcn": 3}[backend], sent.seen


def test_a_checkpoint_of_another_training_is_refused(tmp_path, kept_often):
    with pytest.raises(Stopped):
        trained(tmp_path, "lnsnet", steps=6, tell=stopping)
    with pytest.raises(ValueError, match=r"weights\.pt\.checkpoint: is of a training with seed 0 .now 1."):
        trained(tmp_path, "lnsnet", steps=6, seed=1)


def test_each_image_comes_once_a_round():
    rounds = [[drawn(5, 7 * number + place, 7) for place in range(7)] for number in range(3)]
    assert all(sorted(each) == list(range(7)) for each in rounds) and rounds[0] != rounds[1]
    assert drawn(5, 9, 7) == rounds[1][2]


def test_data_are_known_by_their_values():
    assert content_of(Few()) == content_of(Few()) != content_of(Few(1))


@pytest.mark.parametrize("wrong", [
    {"backend": "torch"}, {"n_segments": 0}, {"steps": -1}, {"learning_rate": -1.0}, {"seed": -1}, {"compactness": 3.0},
    {"compactness": -1, "backend": "superpixel_fcn"},
])  # fmt: skip
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SuperpixelPlan(**{"backend": "lnsnet", **wrong})


def test_no_slices_are_refused(tmp_path):
    with pytest.raises(ValueError, match="slices: expected at least one, found none"):
        train_superpixels([], SuperpixelPlan("lnsnet"), tmp_path / "weights.pt")


def test_the_command_trains_what_the_backend_reads(monkeypatch, tmp_path, capsys):
    write_phantom(tmp_path / "data", patients=3, seed=0)
    (first, *_) = (case["patient"] for case in find_cases(tmp_path / "data"))
    short = ["--steps=2", "--image_size=32", "--pixdim=6,6", "--n_segments=9", f"--leave_out={first}"]
    command = ["superpixels", "train", tmp_path / "data"]
    file = tmp_path / "new" / "weights.pt"
    assert run(monkeypatch, *command, "--backend=lnsnet", "--output", file, *short) == 0
    shown = capsys.readouterr().out
    assert "step 2 of 2: loss" in shown and f"weights written to {file}" in shown
    found = settings_of(file)
    assert found["pixdim"] == [6, 6] and found["image_size"] == 32 and found["n_segments"] == 9
    data = [case for case in find_cases(tmp_path / "data") if case["patient"] != first]
    slices = SliceDataset(data, volume_transform(image_size=32, pixdim=6.0), partitions=1)
    assert found["slices"] == len(slices) and found["content"] == content_of(slices)
    assert Superpixel(9, backend="lnsnet", weights=file)(slices[3]["image"]).max() > 2
    assert run(monkeypatch, *command, "--backend=lnsnet", "--output", file, *short) == 0
    assert "there already" in capsys.readouterr().out

    monkeypatch.setenv("MONAI_CL_EXT_STORE", str(tmp_path / "store"))
    assert run(monkeypatch, *command, "--backend=lnsnet", *short) == 0
    assert superpixel_weights("lnsnet") == str(tmp_path / "store" / "superpixels" / "lnsnet.pt")
    assert same(state_of(superpixel_weights("lnsnet")), state_of(file))
    assert run(monkeypatch, "store", "list") == 0
    assert "1 ways of preparation" in capsys.readouterr().out


@pytest.mark.parametrize("options, message", [
    (["--backend=torch"], "backend must be one of 'lnsnet', 'superpixel_fcn', found 'torch'"),
    (["--backend=lnsnet", "--leave_out=nobody"], "has no patient nobody"),
    (["--backend=lnsnet", "--setps=3"], "train has no option --setps"),
    (["--backend=lnsnet", "--slice_axis=3"], "slice_axis must be one of"),
    (["--backend=lnsnet", "--image_size=8", "--n_segments=65"], "expected at most the 64 pixels of a slice, found 65"),
    (["--backend=lnsnet", "--output=data"], "output data: expected a file, found a folder"),
])  # fmt: skip
def test_mistakes_in_the_command_end_in_one_line(options, message, monkeypatch, tmp_path):
    write_phantom(tmp_path / "data", patients=1, seed=0)
    monkeypatch.chdir(tmp_path)
    status = run(monkeypatch, "superpixels", "train", "data", "--output", "out.pt", *options)
    assert isinstance(status, str) and message in status and "\n" not in status
    assert not (tmp_path / "out.pt").exists()


# learning


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """Slices of 64 x 64 pixels of five patients to train on, and eight slices of two others."""
    cases = find_cases(write_phantom(tmp_path_factory.mktemp("phantom") / "data", patients=7, seed=0))
    transform = volume_transform(image_size=64, pixdim=2.5)
    training, test = (SliceDataset(part, transform, partitions=1, progress=False) for part in (cases[:5], cases[5:]))
    return training, [test[number] for number in range(1, len(test), len(test) // 8)]


def scores(transform, items):
    """Number of segments, achievable accuracy and boundary recall, means over the slices."""
    maps = torch.stack([transform(item["image"])[0] for item in items])
    found = superpixel_report(maps, torch.stack([item["label"][0] for item in items]))
    return [float(found[name].nanmean()) for name in ("segments", "achievable_accuracy", "boundary_recall")]


def before_and_after(backend, n_segments, steps, rate, seed, slices, folder):
    """The transforms before and after a training, and by how much its loss fell."""
    plan = SuperpixelPlan(backend, n_segments, steps, rate, seed)
    training = plan.build().train()
    save_weights(folder / "before.pt", backend, {}, training.network)
    optimizer = torch.optim.Adam(training.parameter_groups(), lr=plan.learning_rate)
    losses = [float(train_step(training, optimizer, slices, step, seed)["loss"]) for step in range(steps)]
    save_weights(folder / "after.pt", backend, {}, training.network)

    def transform(name, asked=n_segments):
        return Superpixel(asked, backend=backend, weights=folder / f"{name}.pt")

    return transform, sum(losses[-20:]) / sum(losses[:20])


@pytest.mark.slow
def test_superpixel_fcn_learns_to_keep_to_borders(phantom, tmp_path):
    """Against the network before training at the same number of segments, between the numbers that it can give."""
    gains = []
    for seed in range(2):
        transform, fall = before_and_after("superpixel_fcn", 16, 200, 2e-3, seed, phantom[0], tmp_path)
        after = scores(transform("after"), phantom[1])
        before = sorted(scores(transform("before", side * side), phantom[1]) for side in range(2, 8))
        numbers, *others = zip(*before, strict=True)
        assert fall < 0.8 and numbers[0] < after[0] < numbers[-1]
        gains.append([new - np.interp(after[0], numbers, old) for new, old in zip(after[1:], others, strict=True)])
    accuracy, recall = np.mean(gains, axis=0)
    assert accuracy > 0.01 and recall > 0.05, gains


@pytest.mark.slow
def test_lnsnet_learns_its_loss_and_gives_about_as_many_segments_as_are_asked_for(phantom, tmp_path, monkeypatch):
    """Borders are kept to before training already, since features at random tell colors apart."""
    monkeypatch.setattr("monai_cl_ext.superpixel_training.lnsnet_training.LNSNetTraining.steps_per_image", 10)
    excess = []
    for seed in range(3):
        transform, fall = before_and_after("lnsnet", 36, 300, 3e-4, seed, phantom[0], tmp_path)
        assert fall < 0.2
        excess.append([scores(transform(name), phantom[1])[0] / 36 - 1 for name in ("before", "after")])
    before, after = np.mean(excess, axis=0)
    assert 0 < after < 0.75 * before, excess

# SPDX-License-Identifier: Apache-2.0
"""Atomic writes, and that nothing broken is written or read."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from monai_cl_ext.csv_files import write_rows
from monai_cl_ext.files import atomic, load_tensors, remove_leftovers, save_tensors, write_text
from monai_cl_ext.finite import first_few, not_finite

NAN, INFINITE = float("nan"), float("inf")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


WRITERS = {
    "text": lambda path: write_text(path, "new"),
    "rows": lambda path: write_rows(path, [["new", 1]]),
    "tensors": lambda path: save_tensors(path, {"weight": torch.ones(3)}),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_is_replaced_and_what_killed_processes_left_of_it_is_removed(tmp_path, dead, writer):
    path = tmp_path / "a [1] $x.pt"
    path.write_text("old")
    mine, killed, living = (tmp_path / f".{path.name}.{number}" for number in (os.getpid(), dead, os.getppid()))
    others = [".a [1] $x.pt.bak", f".b.pt.{dead}", f"a.{dead}", f".a 1 $x.pt.{dead}", f".{path.name}.{dead}x"]
    for leftover in (mine, killed, living, *(tmp_path / name for name in others)):
        leftover.write_text("part")
    WRITERS[writer](path)
    assert path.read_bytes() != b"old"
    assert names(tmp_path) == sorted([path.name, living.name, *others])


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError, OSError])
@pytest.mark.parametrize("existing", [True, False])
def test_a_failed_write_leaves_the_file_as_it_was(tmp_path, error, existing):
    path = tmp_path / "a.txt"
    if existing:
        path.write_text("old")
    with pytest.raises(error), atomic(path) as temporary:
        temporary.write_text("half")
        raise error
    assert names(tmp_path) == ["a.txt"] * existing
    assert not existing or path.read_text() == "old"


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_failed_save_is_not_disguised(tmp_path, monkeypatch, error):
    def save(content, file):
        file.write(b"half")
        raise error

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(error):
        save_tensors(tmp_path / "a.pt", torch.ones(2))
    assert names(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing of it was written; give a folder .*a\.txt"):
        write_text(tmp_path / "b" / "a.txt", "text")
    remove_leftovers(tmp_path / "b", ".*")
    save_tensors(tmp_path / "b" / "c" / "a.pt", torch.ones(2))
    assert names(tmp_path / "b" / "c") == ["a.pt"]


def state(**changes):
    good = {
        "epoch": 3, "best": NAN, "counter": torch.tensor(7), "mask": torch.tensor([True]), "empty": torch.ones(0),
        "method": {"conv.weight": torch.randn(4, 3), "bias": torch.zeros(4, requires_grad=True)},
        "optimizer": {"state": {0: {"step": torch.tensor(2.0)}}, "groups": [{"lr": 0.1}, (torch.ones(2),)]},
    }  # fmt: skip
    return {**good, **changes}


def with_value(value, dtype, shape=(2, 3)):
    tensor = torch.ones(shape, dtype=dtype)
    tensor.view(-1)[-1] = value
    return tensor


FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.float8_e5m2]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
def test_nan_and_infinity_are_named_in_every_number_type(tmp_path, dtype, value):
    bad = with_value(value, dtype)
    assert not_finite(state()) == []
    assert not_finite(bad) == ["the tensor (1 of 6 values)"]
    assert not_finite(state(network=[{"a.b": bad}])) == ["network.0.a.b (1 of 6 values)"]
    assert not_finite(state(x=(bad, bad))) == ["x.0 (1 of 6 values)", "x.1 (1 of 6 values)"]
    assert not_finite(bad.view(3, 2).t()) == ["the tensor (1 of 6 values)"]
    path = tmp_path / "state.pt"
    save_tensors(path, state())
    good = path.read_bytes()
    message = r"state\.pt was not written: NaN or infinite are scale\.0 \(1 of 6 values\)\. Lower the learning rate"
    with pytest.raises(FloatingPointError, match=message):
        save_tensors(path, state(scale=[bad]))
    assert path.read_bytes() == good and names(tmp_path) == ["state.pt"]


def test_infinity_of_the_imaginary_part_and_of_a_sparse_tensor_counts():
    assert not_finite({"z": torch.tensor([1 + 0j, complex(0, NAN)])}) == ["z (1 of 2 values)"]
    assert not_finite({"s": torch.tensor([[0.0, INFINITE], [0, 0]]).to_sparse()}) == ["s (1 of 4 values)"]


@pytest.mark.parametrize("dtype", [*FLOATS[:4], torch.complex64])
def test_the_largest_numbers_are_finite(dtype):
    largest = torch.full((50,), torch.finfo(dtype).max, dtype=dtype)
    assert not_finite([largest, -largest, torch.ones(3)]) == []
    assert not_finite([largest, with_value(NAN, dtype)]) == ["1 (1 of 6 values)"]


def test_many_names_are_counted():
    assert first_few(["a", "b"]) == "a, b"
    assert first_few([*"abcdef"]) == "a, b, c, d and 2 more"


class Ledger(TorchDispatchMode):
    """Notes the waits for the host and the largest tensor made."""

    def __init__(self):
        super().__init__()
        self.waits, self.largest = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.waits += function is torch.ops.aten._local_scalar_dense.default
        for tensor in result if isinstance(result, (list, tuple)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result


def test_the_check_waits_once_copies_nothing_and_costs_well_under_the_write(tmp_path):
    content = {f"layer{number}": {"weight": torch.randn(256, 256, 3, 3)} for number in range(42)}  # 100 MB
    with Ledger() as ledger:
        assert not_finite(content) == []
    assert ledger.waits == 1 and ledger.largest <= len(content)

    def seconds(action):
        start = time.process_time()
        action()
        return time.process_time() - start

    check = min(seconds(lambda: not_finite(content)) for _ in range(3))
    write = min(seconds(lambda: torch.save(content, tmp_path / "a.pt")) for _ in range(3))
    assert check < write / 2


def test_what_could_not_be_read_back_is_not_written(tmp_path):
    for content in ({"best": np.float64(0.5)}, {"method": torch.nn.Linear(2, 2)}):
        with pytest.raises(ValueError, match=r"a\.pt was not written: it would hold (numpy|torch)\S*, .*keep tensors"):
            save_tensors(tmp_path / "a.pt", content)
    assert names(tmp_path) == []


def test_what_was_saved_is_loaded_and_damage_is_told(tmp_path):
    path = tmp_path / "a.pt"
    save_tensors(path, state())
    loaded = load_tensors(path)
    assert torch.equal(loaded["method"]["conv.weight"].isfinite(), torch.ones(4, 3, dtype=torch.bool))
    assert loaded["optimizer"]["groups"][0] == {"lr": 0.1} and loaded["epoch"] == 3
    torch.save(torch.arange(500.0), path, _use_new_zipfile_serialization=False)
    assert torch.equal(load_tensors(path), torch.arange(500.0))
    torch.save(torch.arange(500.0), path)
    content = bytearray(path.read_bytes())
    content[content.index(torch.arange(100.0, 200.0).numpy().tobytes()) + 2] ^= 8
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"a\.pt: cannot be read as a checkpoint \(BadZipFile: the checksum of a/data/0"
    ):
        load_tensors(path)
    with pytest.raises(ValueError, match=r"absent\.pt: cannot be read .*No such file"):
        load_tensors(tmp_path / "absent.pt")

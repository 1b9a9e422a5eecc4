# SPDX-License-Identifier: Apache-2.0
"""Checks of values: an error on the CPU, an assertion of the device on CUDA."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from monai_cl_ext.device_checks import check_values, check_whole
from monai_cl_ext.methods import simtriplet
from monai_cl_ext.transforms import keep_largest_components, signed_distance
from monai_cl_ext.transforms.prepare import NEAREST

ASKED = [
    lambda device: keep_largest_components(torch.full((1, 1, 4, 4), 255, device=device), 3),
    lambda device: signed_distance(torch.full((1, 1, 4, 4), 255, device=device), 3),
    lambda device: simtriplet._check_pairs(4, torch.tensor([3, 3, 3, 5], device=device)),
    lambda device: check_whole("label", torch.full((1, 1, 4, 4), 1.5, device=device), NEAREST),
]


def never() -> str:
    raise AssertionError("looked at the values")


def test_on_the_cpu_it_is_an_error_that_tells_what_was_found():
    check_values(torch.tensor(True), "values must be positive", never, "give others")
    with pytest.raises(ValueError, match="^values must be positive, found -1: give others$"):
        check_values(torch.tensor(False), "values must be positive", lambda: "-1", "give others")


def test_on_cuda_the_device_asserts_it_and_nothing_waits(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "_assert_async", lambda *given: asked.append(given))
    holds = SimpleNamespace(device=torch.device("cuda"))
    check_values(holds, "values must be positive", never, "give others")
    assert asked == [(holds, "values must be positive: give others")]


def test_torch_takes_a_condition_and_a_message():
    torch._assert_async(torch.tensor(True), "text")
    with pytest.raises(RuntimeError, match="text"):
        torch._assert_async(torch.tensor(False), "text")


def test_devices_without_values_are_not_asked():
    for check in (*ASKED[:2], ASKED[3]):
        check("meta")


@pytest.mark.parametrize("check", ASKED)
def test_messages_are_as_short_as_cuda_takes_them(check):
    with pytest.raises(ValueError) as error:
        check("cpu")
    assert len(str(error.value)) <= 250


@pytest.mark.gpu
@pytest.mark.parametrize("number", range(len(ASKED)))
def test_wrong_values_on_a_gpu_end_its_process(number):
    """In a process of its own, since the device is lost to it."""
    script = f"import torch, {__name__} as tests; tests.ASKED[{number}]('cuda'); torch.cuda.synchronize()"
    found = subprocess.run([sys.executable, "-c", script], cwd=sys.path[0], capture_output=True, text=True, check=False)
    assert (
        found.returncode != 0
        and "device-side assert" in found.stderr
        and ("must be" in found.stderr or "expected" in found.stderr)
    )


@pytest.mark.gpu
def test_right_values_on_a_gpu_are_asked_without_waiting():
    labels, volume = torch.zeros(1, 1, 4, 4, dtype=torch.int64, device="cuda"), torch.tensor([3, 3, 5, 5]).cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        signed_distance(labels, 3)
        keep_largest_components(labels, 3)
        simtriplet._check_pairs(4, volume)
        check_whole("label", labels.float(), NEAREST)
    finally:
        torch.cuda.set_sync_debug_mode("default")

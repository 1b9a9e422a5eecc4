# SPDX-License-Identifier: Apache-2.0
"""What is sent to the meta device is seen, whether a tensor is copied or joins a computation as it is."""

import pytest
import torch
from host_to_device import HostToDevice


@pytest.mark.parametrize("send", [
    lambda rows: rows + torch.tensor(2.0),
    lambda rows: torch.arange(3).to("meta"),
    lambda rows: rows[torch.arange(2)],
    lambda rows: torch.empty(3, device="meta").copy_(torch.zeros(3)),
])  # fmt: skip
def test_numbers_that_are_sent_are_seen(send):
    rows = torch.zeros(3, device="meta")
    with HostToDevice() as sent:
        send(rows)
    assert len(sent.seen) == 1


def test_numbers_of_python_and_of_the_device_are_not_sent():
    rows = torch.zeros(3, device="meta")
    with HostToDevice() as sent:
        torch.zeros(2) + 1
        rows + 2.0 * torch.arange(3, device="meta")
    assert not sent.seen

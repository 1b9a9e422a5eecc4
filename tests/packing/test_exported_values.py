# SPDX-License-Identifier: Apache-2.0
"""An export that computes something else than the network is refused."""

import pytest
import torch

from monai_cl_ext.packing import weights


@pytest.mark.parametrize("value", [0.01, float("nan"), float("inf")])
def test_other_values_are_refused_and_so_is_what_is_no_number(value):
    image, network = torch.zeros(1, 1, 4, 4), torch.nn.Identity()
    weights._refuse_other_values("model.ts", lambda given: given + 1e-6, network, image)
    with pytest.raises(ValueError, match=r"models/model\.ts differs from models/model\.pt"):
        weights._refuse_other_values("model.ts", lambda given: given + value, network, image)

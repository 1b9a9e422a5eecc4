# SPDX-License-Identifier: Apache-2.0
"""A method's pairs are those that its loss contrasts, written out."""

import pytest
import torch
from monai.networks.nets import BasicUNet

from monai_cl_ext.methods import GCLGlobal, Method

PARTITION = torch.tensor([0, 1, 0, 1, -1])
VOLUME = torch.tensor([3, 3, 7, 7, 7])


@pytest.mark.parametrize("strategy, views", [("gr", 2), ("gd-", 3), ("gd", 3)])
def test_gcl_pairs_are_those_of_the_paper(strategy, views):
    net = BasicUNet(2, 1, 2, features=[4, 4, 4, 4, 4, 4], norm="batch")
    method = GCLGlobal(net, strategy, image_size=(16, 16), hidden=4, features=4)
    tags = {"partition": PARTITION, "volume": VOLUME}
    positive, negative = method.pairs([{"image": torch.zeros(5, 1, 16, 16)}] * views, tags)
    assert positive.shape == negative.shape == (5 * views, 5 * views)
    for a in range(5 * views):
        for b in range(5 * views):
            (i, view), (j, seen) = (a % 5, a // 5), (b % 5, b // 5)
            known = PARTITION[i] >= 0 and PARTITION[j] >= 0
            if strategy == "gr":
                attracts, repels = i == j, i != j
            else:
                across = PARTITION[i] == PARTITION[j] and VOLUME[i] != VOLUME[j]
                across = across and (view, seen) in ((0, 0), (1, 2), (2, 1)) and strategy == "gd"
                attracts, repels = known and (i == j or across), known and PARTITION[i] != PARTITION[j]
            assert positive[a, b] == (attracts and a != b), (a, b)
            assert negative[a, b] == (repels and a != b), (a, b)


def test_a_method_need_not_tell_its_pairs():
    class Silent(Method):
        @property
        def predictor(self):
            return self

        def forward(self, views, tags):
            return {"loss": torch.zeros(())}

    assert Silent().pairs([{"image": torch.zeros(2, 1, 4, 4)}], {}) is None

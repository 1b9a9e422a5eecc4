# SPDX-License-Identifier: Apache-2.0
"""Rules, pair by pair."""

import pytest
import torch
from contrast_oracles import assert_same, joint_oracle, pairwise_oracle, rows

from monai_cl_ext.losses import (
    NTXentLoss,
    PartitionContrastiveLoss,
    PositionContrastiveLoss,
    Rule,
    SupervisedContrastiveLoss,
    both_known,
    different,
    matching,
    pair_matrices,
    same,
    sample_tags,
)

TAG = torch.tensor([0, 1, 1, -1, 0])
OTHER = torch.tensor([2, 2, 3, 3, 2])
ALL = slice(0, 5)


def written_out(holds):
    return torch.tensor([[holds(a, k) for k in range(5)] for a in range(5)])


def test_leaves_say_what_their_names_say():
    t, o = TAG.tolist(), OTHER.tolist()
    assert torch.equal(same(TAG).tile(ALL), written_out(lambda a, k: t[a] == t[k]))
    assert torch.equal(different(TAG).tile(ALL), written_out(lambda a, k: t[a] != t[k]))
    assert torch.equal(matching(OTHER, TAG).tile(ALL), written_out(lambda a, k: o[a] == t[k]))
    assert torch.equal(both_known(TAG).tile(ALL), written_out(lambda a, k: t[a] >= 0 and t[k] >= 0))


def test_combinations_keep_their_own_tags():
    t, o = TAG.tolist(), OTHER.tolist()
    rule = (same(TAG) & ~same(OTHER)) | matching(TAG, OTHER)
    expected = written_out(lambda a, k: (t[a] == t[k] and o[a] != o[k]) or t[a] == o[k])
    assert torch.equal(rule.tile(ALL), expected)


def test_tile_is_a_part_of_the_whole():
    rule = same(TAG) & different(OTHER)
    assert torch.equal(rule.tile(slice(1, 4)), rule.tile(ALL)[1:4])


def test_leading_dimensions_stay_apart():
    tags = torch.stack([TAG, OTHER])
    assert torch.equal(same(tags).tile(ALL), torch.stack([same(TAG).tile(ALL), same(OTHER).tile(ALL)]))


def test_map_tags_moves_every_tag():
    rule = (same(TAG) & different(OTHER)).map_tags(lambda tag: tag.flip(0))
    assert torch.equal(rule.tile(ALL), (same(TAG.flip(0)) & different(OTHER.flip(0))).tile(ALL))


def test_a_rule_of_ones_own():
    position = torch.linspace(0.2, 1, 5, dtype=torch.float64)
    near = Rule((position,), lambda anchor, candidate: (anchor[0] - candidate[0]).abs() < 0.3)
    assert torch.equal(near.tile(ALL), written_out(lambda a, k: abs(a - k) < 2))


def test_sample_tags_count_on():
    tags = sample_tags(4, torch.device("cpu"))
    assert tags.dtype == torch.int64
    assert len(set(tags.tolist())) == 4


TAGS = {
    "label": torch.tensor([0, 1, 1, 0, 2]),
    "partition": torch.tensor([0, 1, 1, 0, -1]),
    "volume": torch.tensor([3, 3, 7, 7, 7]),
    "position": torch.tensor([0.1, 0.35, 0.3, 0.8, 0.45], dtype=torch.float64),
}


@pytest.mark.parametrize(
    "loss, views, call",
    [
        (NTXentLoss(), 2, lambda loss, z: loss(*z)),
        (SupervisedContrastiveLoss(), 2, lambda loss, z: loss(z.flatten(0, 1), TAGS["label"].repeat(2))),
        (PositionContrastiveLoss(0.2), 2, lambda loss, z: loss(*z, TAGS["position"])),
        (PartitionContrastiveLoss("gr"), 2, lambda loss, z: loss(list(z), TAGS["partition"], TAGS["volume"])),
        (PartitionContrastiveLoss("gd-"), 3, lambda loss, z: loss(list(z), TAGS["partition"], TAGS["volume"])),
        (PartitionContrastiveLoss("gd"), 3, lambda loss, z: loss(list(z), TAGS["partition"], TAGS["volume"])),
    ],
    ids=["NTXent", "Supervised", "Position", "gr", "gd-", "gd"],
)
def test_a_losss_rules_are_the_pairs_of_its_forward(loss, views, call):
    z = rows(views, 5, 4)
    rules = loss.rules(TAGS, sample_tags(5, torch.device("cpu")), views)
    positive, negative = pair_matrices(rules, 5 * views)
    assert not positive.diagonal().any() and not negative.diagonal().any()
    assert positive.shape == negative.shape == (5 * views, 5 * views)
    oracle = pairwise_oracle if views == 3 else joint_oracle
    expected = oracle(z.flatten(0, 1), lambda a, k: positive[a, k], lambda a, k: negative[a, k], 0.1)
    assert_same(call(loss, z), (views == 3) * expected + expected, z)


def test_another_number_of_views_than_the_strategys_is_named():
    with pytest.raises(ValueError, match="'gd' takes 3 views, found 2"):
        PartitionContrastiveLoss("gd").rules(TAGS, sample_tags(5, torch.device("cpu")), 2)

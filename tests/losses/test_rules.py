# SPDX-License-Identifier: Apache-2.0
"""Rules, pair by pair."""

import torch

from monai_cl_ext.losses import Rule, both_known, different, matching, same, sample_tags

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

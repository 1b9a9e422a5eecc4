# SPDX-License-Identifier: Apache-2.0
"""What is built alike has the same fingerprint, and what is not has another."""

from functools import partial

from monai_cl_ext.fingerprint import fingerprint
from monai_cl_ext.transforms import Superpixel


def test_the_arguments_of_a_partial_count():
    first, again = (partial(Superpixel, n_segments=60, compactness=10.0) for _ in range(2))
    assert fingerprint(first) == fingerprint(again) != fingerprint(partial(Superpixel, n_segments=500))
    assert fingerprint(partial(max, 1)) != fingerprint(partial(min, 1)) != fingerprint(partial(min, 2))

# SPDX-License-Identifier: Apache-2.0
"""The README's example runs as it stands, and its commands name files that exist."""

import re
from pathlib import Path

from monai_cl_ext.data import write_phantom

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_example_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_phantom(tmp_path / "phantom", patients=3, seed=0)
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(example.splitlines()) <= 24
    names: dict = {}
    exec(example, names)
    weight = names["encoder"].network.conv_0.conv_0.conv.weight
    assert weight.grad is not None and weight.grad.abs().max() > 0
    assert names["loss"].strategy == "gd"


def test_every_config_that_the_readmes_name_exists():
    for page in (ROOT / "README.md", ROOT / "bundles" / "gcl_segmentation" / "docs" / "README.md"):
        for name in set(re.findall(r"configs/(\w+\.json)", page.read_text())):
            assert (ROOT / "bundles" / "gcl_segmentation" / "configs" / name).is_file(), name

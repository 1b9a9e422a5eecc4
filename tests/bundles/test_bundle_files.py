# SPDX-License-Identifier: Apache-2.0
"""What holds for the files of every bundle."""

import re

import pytest
from workflows import BUNDLES

NAMES = sorted(path.name for path in BUNDLES.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", NAMES)
def test_own_classes_are_named_in_full(name):
    for path in (BUNDLES / name / "configs").glob("*.json"):
        assert all("." in target for target in re.findall(r'"_target_": "([^"]+)"', path.read_text())), path.name


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_names_configs_that_exist(name):
    page = (BUNDLES / name / "docs" / "README.md").read_text()
    configs = {path.stem for path in (BUNDLES / name / "configs").glob("*.json")}
    named = set(re.findall(r"(\w+)\.json", page)) - {"dataset", "class_names"}  # files that are no configs
    assert named <= configs and configs - named <= {"metadata"}

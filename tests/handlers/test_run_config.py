# SPDX-License-Identifier: Apache-2.0
"""What a run was built from is found from within a component of it."""

from monai.bundle import ConfigParser

from monai_cl_ext.handlers.run_config import config_being_built


def test_the_configuration_with_its_overrides():
    parser = ConfigParser({"size": [1, 2], "part": {"deep": 3}, "twice": "$2 * @part#deep", "here": "@size"})
    parser["built"] = {"_target_": "monai_cl_ext.handlers.run_config.config_being_built"}
    parser["size"] = [5, 6]
    found = parser.get_parsed_content("built")
    assert found["size"] == [5, 6] and found["twice"] == "$2 * @part#deep" and found["here"] == "@size"


def test_outside_of_any_there_is_none():
    assert config_being_built() is None

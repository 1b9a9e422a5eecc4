# SPDX-License-Identifier: Apache-2.0
"""The lines that the command prints can be pasted into a shell."""

import ast
import shlex
from pathlib import Path

import pytest

from monai_cl_ext.packing.next_steps import next_steps
from monai_cl_ext.packing.pack import Packed


@pytest.mark.parametrize("folder", [Path("/tmp/heart_segmentation"), Path("/tmp/Jane's bundles/the heart")])
def test_each_line_is_one_for_the_shell(folder):
    lines = dict(line.split(": ", 1) for line in next_steps(Packed(folder, [], {}, "")).splitlines())
    words = {title: shlex.split(line) for title, line in lines.items()}
    for title, found in words.items():
        assert found[0] in ("cd", "python") and not {";", "then:"} & set(found), title
    assert words["try it"][1] == words["share in the model zoo"][5] == str(folder)
    assert list(words)[-1] == "try it"  # which writes a folder for each patient, and not into what is shared
    output = Path(words["try it"][words["try it"].index("--output_dir") + 1])
    assert output.is_absolute() and not output.is_relative_to(folder)
    assert words["share a file"] == ["cd", "/".join(folder.parts[:-1])[1:], "&&", "python", "-m", "zipfile", "-c",
                                     f"{folder.name}.zip", folder.name]  # fmt: skip
    assert words["which others get by"][4:8] == ["--name", folder.name, "--url", f"URL/{folder.name}.zip"]
    (_, call) = ast.parse(words["share on Hugging Face"][2]).body
    given = [argument.value for argument in call.value.args]
    assert given == [f"USER/{folder.name}", folder.name, str(folder.parent)]

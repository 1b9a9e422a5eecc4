# SPDX-License-Identifier: Apache-2.0
"""The names of the classes lie beside the weights, and are compared with those of the data."""

import json
import logging

import pytest
from ignite.engine import Engine

from monai_cl_ext.handlers import CheckClassNames, SaveClassNames


def test_names_are_written_in_their_order_as_the_run_starts(tmp_path):
    path = tmp_path / "models" / "class_names.json"
    seen = []
    engine = Engine(lambda engine, batch: seen.append(json.loads(path.read_text())))
    SaveClassNames(["normal", "cataract", 2], str(path)).attach(engine)
    assert not path.exists()
    engine.run([0])
    assert seen == [["normal", "cataract", "2"]] and [file.name for file in path.parent.iterdir()] == [path.name]


def test_other_names_or_another_order_stop_a_run(tmp_path, caplog):
    path = str(tmp_path / "class_names.json")

    def run(handler):
        engine, seen = Engine(lambda engine, batch: seen.append(batch)), []
        handler.attach(engine)
        engine.run([0])
        return seen

    with caplog.at_level(logging.WARNING):
        run(CheckClassNames(["a", "b"], path))
    assert "class_names.json: found no such file" in caplog.text
    run(SaveClassNames(["a", 2], path))
    assert run(CheckClassNames(["a", "2"], path)) == [0]
    for names in (["2", "a"], ["a", "b"], ["a"]):
        with pytest.raises(ValueError, match=r"the weights tell \['a', '2'\], the data have"):
            run(CheckClassNames(names, path))


@pytest.mark.parametrize("handler", [SaveClassNames, CheckClassNames])
@pytest.mark.parametrize("name", ["image", "patient", "class", "all"])
def test_a_class_called_as_a_column_is_refused_before_the_run(handler, name, tmp_path):
    with pytest.raises(ValueError, match=f"^class '{name}': predictions.csv and metrics.csv have .* such as '{name}_'"):
        handler(["gray", name], str(tmp_path / "class_names.json"))

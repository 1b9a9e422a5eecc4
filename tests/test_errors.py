# SPDX-License-Identifier: Apache-2.0
"""The sentence that a user reads is this package's own, however MONAI wraps it."""

from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, Lambda

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.data import LoadCased, SliceDataset, split_by_patient
from monai_cl_ext.errors import MISTAKES, first_cause, mistake, raised_here, root_cause


def caught(call):
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def wrapped(call, *, explicit=True):
    """The error of a call inside two RuntimeErrors, as MONAI makes them; the inner one may hide its cause."""

    def run():
        try:
            try:
                call()
            except Exception as error:
                raise RuntimeError("Failed to evaluate") from (error if explicit else None)
        except Exception as error:
            raise RuntimeError("Failed to instantiate") from error

    return caught(run)


def own():
    positive_integer("size", 0)


def foreign():
    torch.zeros(2) + torch.zeros(3)


def absent_file():
    Path("/absent").read_bytes()


def test_an_error_is_ours_by_where_it_was_raised():
    assert raised_here(caught(own)) and raised_here(caught(lambda: split_by_patient([], [], [], [])))
    assert not raised_here(caught(foreign)) and not raised_here(ValueError("size must be an integer of at least 1"))
    assert raised_here(caught(lambda: LoadCased()({"image": "/absent.nii.gz", "label": ""})))


def test_the_sentence_is_found_below_what_wraps_it():
    assert (
        root_cause(wrapped(own))
        == root_cause(caught(own))
        == "ValueError: size must be an integer of at least 1, found 0"
    )
    size = "$__import__('monai_cl_ext.arguments').arguments.positive_integer('size', 0)"
    net = {"_target_": "torch.nn.Linear", "in_features": "@size", "out_features": 1}
    parser = ConfigParser({"size": size, "net": net})
    assert root_cause(caught(lambda: parser.get_parsed_content("net"))).startswith("ValueError: size must be")
    transform = Compose([Lambda(lambda value: Compose([Lambda(lambda size: one_of("size", size, (1, 2)))])(value))])
    assert root_cause(caught(lambda: transform(3))) == "ValueError: size must be one of 1, 2, found 3"


def test_of_several_of_ours_the_outermost_is_told():
    """It was given the file that the inner one lacked."""
    error = caught(lambda: SliceDataset([{"image": "a.nii"}], lambda case: positive_integer("size", 0), progress=False))
    assert root_cause(error).startswith("ValueError: a.nii: cannot be read or prepared (ValueError: size must be")
    assert root_cause(wrapped(lambda: (_ for _ in ()).throw(error))) == root_cause(error)


def test_without_one_of_ours_the_deepest_cause_is_told():
    assert "size of tensor" in root_cause(caught(foreign)) == root_cause(wrapped(foreign))
    circle = ValueError("a")
    circle.__cause__ = other = ValueError("b")
    other.__cause__ = circle
    assert root_cause(circle) == "ValueError: b" and first_cause(circle) is other and mistake(circle) is None


def test_mistakes_are_told_from_errors_in_the_program():
    for call in (own, absent_file, lambda: __import__("no_such_package_of_anybody")):
        for error in (caught(call), wrapped(call)):
            assert isinstance(mistake(error), MISTAKES)
    for call in (foreign, lambda: {}["a"], lambda: int("x")):
        assert mistake(caught(call)) is None and mistake(wrapped(call)) is None
    assert mistake(wrapped(own, explicit=False)) is None


@pytest.mark.parametrize("wrong", [foreign, lambda: {}["a"], absent_file])
def test_an_error_while_a_mistake_is_handled_is_told_itself(wrong):
    def handle():
        try:
            own()
        except ValueError:
            wrong()

    error = caught(handle)
    assert first_cause(error) is error and mistake(error) in (None, error)


def test_a_loop_of_links_is_a_mistake(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    found = mistake(caught((tmp_path / "loop").resolve))  # a RuntimeError in Python 3.11 and 3.12
    assert isinstance(found, OSError) and "loop" in str(found)

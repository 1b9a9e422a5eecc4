# SPDX-License-Identifier: Apache-2.0
"""Tells how volumes are prepared, so exactly that two preparations of one description give the same arrays."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import inspect
import json
import sys
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from monai.data import ImageReader
from torch import Tensor

FORMAT = 1  # of the arrays in a store
PACKAGES = (
    "monai",
    "nibabel",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "pydicom",
    "scikit-image",
    "scipy",
    "torch",
)
OWN_CODE = ("data", "transforms")  # rooms of this package that take part
STATE = {"R", "_tracing"}  # of Randomizable and of TraceableTransform, which change as they are used


def described(value: Any) -> Any:
    """A JSON value that is equal for objects that do the same.

    Numbers, text and containers stand for themselves, arrays and tensors for a hash, objects for their class and all of
    their attributes, functions for their name, those without one of their own also for their code and what they
    enclose. The code of classes and functions is told by the versions of MONAI and its kin, by a hash of the source of
    this package's rooms, and of the file of every other one.

    Raises:
        ValueError: for an object of which nothing can be told.
    """
    code: dict[str, str] = {}
    told = _described(value, code, ())
    versions = {name: _version(name) for name in PACKAGES}
    return {"format": FORMAT, "versions": versions, "code": code | {"monai_cl_ext": own_code()}, "value": told}


def settings_key(description: Any) -> str:
    """A short name for a description."""
    text = json.dumps(description, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def own_code() -> str:
    """A hash of the source of this package's rooms that take part in the preparation of volumes."""
    package = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for path in sorted(path for room in OWN_CODE for path in (package / room).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _described(value: Any, code: dict[str, str], above: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (bytes, np.dtype, torch.dtype, torch.device, PurePath, slice, range, complex)):
        return [type(value).__name__, str(value)]
    if isinstance(value, type):
        return _named(value, code)
    if isinstance(value, Enum):
        return [_named(type(value), code), value.name]
    if isinstance(value, (np.ndarray, np.generic, Tensor)):
        array = np.ascontiguousarray(value.detach().cpu().numpy() if isinstance(value, Tensor) else value)
        if array.dtype.hasobject:
            raise _untold(value)
        return ["array", str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
    if id(value) in above:
        return ["the one above", above[::-1].index(id(value))]
    above = (*above, id(value))
    if isinstance(value, Mapping):
        return {repr(_described(key, code, above)): _described(item, code, above) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_described(item, code, above) for item in value]
    if isinstance(value, (set, frozenset)):
        return ["set", sorted(json.dumps(_described(item, code, above), sort_keys=True) for item in value)]
    if isinstance(value, functools.partial):
        return ["partial", *(_described(part, code, above) for part in (value.func, value.args, value.keywords))]
    if isinstance(value, types.MethodType):
        return ["method", value.__name__, _described(value.__self__, code, above)]
    if callable(value) and hasattr(value, "__qualname__"):
        return _function(value, code, above)
    return _object(value, code, above)


def _object(value: Any, code: dict[str, str], above: tuple[int, ...]) -> Any:
    """The class and the attributes of an object; of MONAI's readers the class alone, since they keep what they read."""
    if isinstance(value, ImageReader):
        return _named(type(value), code)
    facts = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                facts[name] = getattr(value, name)
    if not facts and type(value).__module__ in ("builtins", "_thread", "_io"):
        raise _untold(value)
    return [
        _named(type(value), code),
        {name: _described(fact, code, above) for name, fact in sorted(facts.items()) if name not in STATE},
    ]


def _function(value: Any, code: dict[str, str], above: tuple[int, ...]) -> Any:
    """The name of a function; also the code of one that its name does not lead to."""
    name = _named(value, code)
    inner = inspect.unwrap(value)
    own = isinstance(inner, types.FunctionType) and ("<" in inner.__qualname__ or inner.__module__ == "__main__")
    if not own:
        return name
    cells = [cell.cell_contents for cell in inner.__closure__ or ()]
    enclosed = [inner.__defaults__, inner.__kwdefaults__, cells]
    return [name, _compiled(inner.__code__), *(_described(part, code, above) for part in enclosed)]


def _compiled(function: types.CodeType) -> str:
    constants = [_compiled(item) if isinstance(item, types.CodeType) else repr(item) for item in function.co_consts]
    text = repr((function.co_code, constants, function.co_names, function.co_varnames))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _named(value: Any, code: dict[str, str]) -> str:
    """The full name of a class or function; what tells the code of one that has no version is noted."""
    module = str(getattr(value, "__module__", None) or "builtins")
    package, name = module.partition(".")[0], f"{module}.{value.__qualname__}"
    own = f"{module}.".startswith(tuple(f"monai_cl_ext.{room}." for room in OWN_CODE))
    if not own and package not in (*PACKAGES, "builtins") and package not in sys.stdlib_module_names:
        code[module] = _file_hash(module)
    if module == "__main__" and isinstance(value, type):  # of a notebook, say, where there is no file
        code[name] = "".join(_compiled(part.__code__) for part in vars(value).values() if inspect.isfunction(part))
    return name


@functools.cache
def _file_hash(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16] if file and Path(file).is_file() else ""


def _untold(value: Any) -> ValueError:
    return ValueError(
        f"transform: of {value!r} it cannot be told what it does, so that a store could not notice a change; make it a "
        "function or an object with attributes, or give store=None to keep volumes in memory"
    )

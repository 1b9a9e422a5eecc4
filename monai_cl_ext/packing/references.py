# SPDX-License-Identifier: Apache-2.0
"""What the ids of a configuration refer to."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Iterator
from typing import Any

from monai.bundle import ConfigComponent, ConfigParser, ReferenceResolver


def reached(parser: ConfigParser, *names: str) -> dict[str, Any]:
    """The contents of these ids and of all that they refer to, however indirectly, by id.

    Args:
        parser: of the configuration.
        names: ids to begin with; those that it lacks are passed over.

    Raises:
        ValueError: when an id refers to one that the configuration lacks.
    """
    parser.resolve_macro_and_relative_ids()
    found: dict[str, Any] = {}
    waiting = [name for name in names if name in parser]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = parser[name]
        for other in _references(found[name]):
            if other not in parser:
                raise ValueError(f"{name} refers to {other}, which the configuration lacks")
            waiting.append(other)
    return found


def refuse_incomplete(parser: ConfigParser, *names: str) -> int:
    """Refuses a configuration in which a component of these ids, or of what they refer to, lacks an argument.

    Nothing is built, as that would need data. Components that cannot be imported here are passed over.

    Returns:
        How many ids were looked at.

    Raises:
        ValueError: names the id, see also :func:`reached`.
    """
    contents = reached(parser, *names)
    for name, content in contents.items():
        for component in _components(content):
            try:
                _bind(component)
            except TypeError as error:
                raise ValueError(f"{name}: {component['_target_']} {error}") from error
    return len(contents)


def _bind(component: dict[str, Any]) -> None:
    """Binds the arguments of a component to its signature, where it has one."""
    config = ConfigComponent(component)
    target = config.resolve_module_name()
    try:
        called = pydoc.locate(target) if isinstance(target, str) else target
        signature = inspect.signature(called)  # type: ignore[arg-type]
    except (TypeError, ValueError, pydoc.ErrorDuringImport):  # not found here, or written in C
        return
    bind = signature.bind if component.get("_mode_", "default") == "default" else signature.bind_partial
    bind(**config.resolve_args())


def _strings(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for item in content.values() if isinstance(content, dict) else content:
            yield from _strings(item)


def _references(content: Any) -> Iterator[str]:
    for text in _strings(content):
        yield from (name.replace("::", "#") for name in ReferenceResolver.match_refs_pattern(text))


def _components(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict) and ConfigComponent.is_instantiable(content):
        yield content
    if isinstance(content, dict | list):
        for item in content.values() if isinstance(content, dict) else content:
            yield from _components(item)

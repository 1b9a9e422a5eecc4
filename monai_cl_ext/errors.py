# SPDX-License-Identifier: Apache-2.0
"""Finds the error that a user has to read among those that MONAI wraps it in."""

from __future__ import annotations

from collections.abc import Iterator

MISTAKES = (ValueError, OSError, ImportError, FloatingPointError)
"""Types of errors that this package raises for what a user can put right."""


def raised_here(error: BaseException) -> bool:
    """Whether code of this package raised the error: the module of its traceback's last frame tells."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    # __package__, since the __name__ of a module that python -m runs is "__main__".
    package = trace.tb_frame.f_globals.get("__package__") if trace else None
    return (package or "").partition(".")[0] == __name__.partition(".")[0]


def first_cause(error: BaseException) -> BaseException:
    """The outermost error that this package raised; where it raised none, the deepest cause.

    The outermost, since an error that was wrapped here was given the file and the remedy that it lacked.
    """
    return next((found for found in _chain(error) if raised_here(found)), deepest_cause(error))


def deepest_cause(error: BaseException) -> BaseException:
    """The error at the end of the chain of causes."""
    seen = {id(error)}
    while error.__cause__ is not None and id(error.__cause__) not in seen:
        error = error.__cause__
        seen.add(id(error))
    return error


def root_cause(error: BaseException) -> str:
    """What went wrong in the first place, as ``Type: message``; see :func:`first_cause`."""
    found = first_cause(error)
    return f"{type(found).__name__}: {found}"


def mistake(error: BaseException) -> BaseException | None:
    """The user's mistake behind an error, or None for an error in the program.

    A mistake is an error of one of the types ``MISTAKES`` that this package raised, or one of the system (``OSError``)
    or of an import whoever raised it. MONAI's wrappers, plain RuntimeErrors, are looked through; an error of another
    type that was raised while a mistake was handled is one in the program.
    """
    for found in _chain(error):
        if isinstance(found, (OSError, ImportError)) or (isinstance(found, MISTAKES) and raised_here(found)):
            return found
        if type(found) is not RuntimeError:
            return None
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it or was being handled when it was raised, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        if error.__cause__ is not None:
            error = error.__cause__
        else:
            error = None if error.__suppress_context__ else error.__context__

# SPDX-License-Identifier: Apache-2.0
"""Finds the error that a user has to read among those that MONAI wraps it in."""

from __future__ import annotations

from collections.abc import Iterator

MISTAKES = (ValueError, OSError, ImportError, FloatingPointError)
"""Types of errors that this package raises for what a user can put right."""

WRAPPERS = ("monai", "pathlib")
"""Packages that raise a RuntimeError for what they caught; pathlib does where links lead in a circle."""


def raised_here(error: BaseException) -> bool:
    """Whether code of this package raised the error: the module of its traceback's last frame tells."""
    return _raised_by(error) == __name__.partition(".")[0]


def first_cause(error: BaseException) -> BaseException:
    """The outermost error that this package raised; where it raised none, the deepest cause.

    The outermost, since an error that was wrapped here was given the file and the remedy that it lacked.
    """
    return next((found for found in _chain(error) if raised_here(found)), deepest_cause(error))


def deepest_cause(error: BaseException) -> BaseException:
    """The error at the end of the chain of causes."""
    return list(_chain(error))[-1]


def root_cause(error: BaseException) -> str:
    """What went wrong in the first place, as ``Type: message``; see :func:`first_cause`."""
    found = first_cause(error)
    return f"{type(found).__name__}: {found}"


def mistake(error: BaseException) -> BaseException | None:
    """The user's mistake behind an error, or None for an error in the program.

    A mistake is an error of one of the types ``MISTAKES`` that this package raised, or one of the system (``OSError``)
    or of an import whoever raised it. Plain RuntimeErrors that it caused, such as MONAI's, are looked through.
    """
    for found in _chain(error):
        if isinstance(found, (OSError, ImportError)) or (isinstance(found, MISTAKES) and raised_here(found)):
            return found
        if type(found) is not RuntimeError:
            return None
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, and so on; of those that were being handled meanwhile, what a wrapper stands for."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        wraps = type(error) is RuntimeError and _raised_by(error) in WRAPPERS and not error.__suppress_context__
        error = error.__context__ if wraps and error.__cause__ is None else error.__cause__


def _raised_by(error: BaseException) -> str:
    """The package whose code raised an error, or "" where it was not raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    # __package__ first, since the __name__ of a module that python -m runs is "__main__".
    names = trace.tb_frame.f_globals
    return str(names.get("__package__") or names.get("__name__")).partition(".")[0]

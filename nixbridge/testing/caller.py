"""Errors that point at the test: `at_the_callers_line`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from nixbridge.errors import NixbridgeError

_P = ParamSpec("_P")
_R = TypeVar("_R")


def at_the_callers_line(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let the errors that `function` raises point at the line that called it.

    They are of the user's Nix and image, and where in nixbridge they came up explains nothing.
    """

    @functools.wraps(function)
    def shown(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        __tracebackhide__ = True  # pytest leaves this frame out
        try:
            return function(*args, **kwargs)
        except NixbridgeError as error:
            raised = error
        raise raised.with_traceback(None) from None

    return shown

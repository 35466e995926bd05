"""The one way loops over pixels and triangles are compiled here: numba, without the interpreter lock, kept on disk.

Compiled functions are deterministic (no fast-math), so a picture is the same bytes on every run of one kind of machine.
"""

import inspect
from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function of plain arrays and numbers at its first call.

    Run-time shape checks, which the tests wrap around every function, are taken off first: numba takes plain code.
    """
    return njit(nogil=True, cache=True, error_model="numpy")(inspect.unwrap(function))

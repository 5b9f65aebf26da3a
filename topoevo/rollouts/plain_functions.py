"""Compiling plain Python functions together with the plain functions that they call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import CodeType, FunctionType, ModuleType
from typing import Any

from numba import njit

#: How they are compiled: merged into those that call them, without reordering.
INLINED: Any = {"fastmath": {"contract"}, "error_model": "numpy", "forceinline": True}


def compiled(function: Callable[..., Any], **stand_ins: ModuleType) -> Any:
    """Return a function that compiled functions can call.

    Parameters
    ----------
    function
        It may call other functions of its module, and read numbers and tuples of numbers there.
    **stand_ins
        Modules that it finds under these names instead of what it imports.
    """
    names: dict[str, Any] = {"__name__": function.__module__}
    for name, value in _globals(function).items():
        names[name] = compiled(value, **stand_ins) if isinstance(value, FunctionType) else stand_ins.get(name, value)
    return njit(**INLINED)(FunctionType(_code(function), names, function.__name__))


def source_files(*functions: Callable[..., Any]) -> set[str]:
    """Return the files that functions, and those that they call, are written in."""
    files: set[str] = set()
    for function in functions:
        called = (value for value in _globals(function).values() if isinstance(value, FunctionType))
        files |= {_code(function).co_filename} | source_files(*called)
    return files


def _code(function: Callable[..., Any]) -> CodeType:
    """What a function does."""
    assert isinstance(function, FunctionType)
    return function.__code__


def _globals(function: Callable[..., Any]) -> dict[str, Any]:
    """What a function uses of its module."""
    assert isinstance(function, FunctionType)
    names = _global_names(function.__code__)
    return {name: value for name, value in function.__globals__.items() if name in names}


def _global_names(code: CodeType) -> set[str]:
    """Names that a function, or a function inside it, looks for outside."""
    inner = [constant for constant in code.co_consts if inspect.iscode(constant)]
    return set(code.co_names).union(*(_global_names(constant) for constant in inner))

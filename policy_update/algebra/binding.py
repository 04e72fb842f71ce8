"""How the functions of an algebra are put together: by the names of their parameters.

A stage's function asks for inputs (positional parameters: `rewards`, `old`, `mask`, ...) and has numbers (keyword-only
parameters with the paper's defaults). So a function reads as its equation, a recipe is a list of functions and the
numbers that differ, and what a recipe needs to be given follows from what its functions ask for.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

Function = Callable[..., Any]


@cache
def inputs_of(function: Function) -> tuple[str, ...]:
    """Names of the inputs, in order."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY)


@cache
def defaults_of(function: Function) -> Mapping[str, float]:
    """The numbers a function has, with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def with_numbers(function: Function, numbers: Mapping[str, float]) -> Function:
    """The function with those of its numbers set that `numbers` names."""
    return partial(function, **{name: numbers[name] for name in defaults_of(function) if name in numbers})


def call(function: Function, inputs: Mapping[str, Any], numbers: Mapping[str, float]) -> Any:
    """The function of the inputs it asks for. Raises KeyError for an input that is not there."""
    return with_numbers(function, numbers)(*(inputs[name] for name in inputs_of(function)))

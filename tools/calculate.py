"""Arithmetic as a tool.

``simpleeval`` walks the expression, cut down to numbers: no texts, attributes, comparisons,
assignments or random numbers. What could take long or grow large is bounded before it is
computed, so that any expression is answered or refused within milliseconds.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import simpleeval
from langchain_core.tools import tool

from heliograph.model.errors import ToolFailed

_MAX_CHARACTERS = 500
_MAX_DIGITS = 100
_MAX_FACTORIAL = 69  # the last whose digits are fewer than that
_TOO_LARGE = f"The result is too large: whole numbers may have {_MAX_DIGITS} digits."

_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "^": "**", "٫": "."})
# Python never sees a quote, a bracket or "1if", so its parser has nothing to warn of.
_ALLOWED = re.compile(
    r"(?>(?>\d+\.?\d*|\.\d+)(?>[eE][+-]?\d+)?(?![\w.])|[a-zA-Z]\w*+|[-+*/%(),\s])*+", re.ASCII
)


@tool(
    description='Work out an arithmetic expression such as "12 * (3 + 4)". Knows + - * / // % **, '
    "brackets, pi, e, abs, ceil, cos, exp, factorial, floor, log, log10, max, min, round, sin, "
    "sqrt and tan."
)
def calculate(expression: str) -> str:
    """The value of ``expression`` in digits; × ÷ − ^ and the digits of all scripts are understood.

    Raises:
        ToolFailed: it is not arithmetic, has no real value, or is too long or too large.
    """
    if len(expression) > _MAX_CHARACTERS:
        raise ToolFailed(f"The expression is longer than {_MAX_CHARACTERS} characters.")
    if not expression.strip():
        raise ToolFailed("There is nothing to calculate.")
    quoted = repr(expression if len(expression) <= 60 else expression[:59] + "…")
    plain = "".join(map(_plain_digit, expression)).translate(_SIGNS)
    plain = " ".join(plain.split())
    if not _ALLOWED.fullmatch(plain):
        raise ToolFailed(f"{quoted} is not arithmetic.")
    evaluator = simpleeval.SimpleEval(operators=_OPERATORS, functions=_FUNCTIONS, names=_NAMES)
    evaluator.nodes = {kind: evaluator.nodes[kind] for kind in _NODES}
    try:
        parsed = ast.parse(plain, mode="eval").body
        return _shown(_checked(evaluator.eval(plain, previously_parsed=parsed)))
    except ToolFailed:
        raise
    except ZeroDivisionError as error:
        raise ToolFailed("A division by zero has no result.") from error
    except OverflowError as error:
        raise ToolFailed(_TOO_LARGE) from error
    except (simpleeval.NameNotDefined, simpleeval.FunctionNotDefined) as error:
        known = ", ".join((*_NAMES, *_FUNCTIONS))
        raise ToolFailed(f"{quoted} names something other than {known}.") from error
    except ValueError as error:  # sqrt(-1), log(0)
        raise ToolFailed(f"{quoted} has no result.") from error
    except (
        SyntaxError,
        TypeError,
        RecursionError,
        MemoryError,  # what the parser raises for hundreds of brackets
        simpleeval.InvalidExpression,
    ) as error:
        raise ToolFailed(f"{quoted} is not arithmetic.") from error


def _plain_digit(character: str) -> str:
    """A decimal digit of any script as 0 to 9, anything else as it is."""
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)


def _checked(value: Any) -> int | float:
    """``value`` if it is a number within bounds."""
    if type(value) is int:
        if abs(value) >= 10**_MAX_DIGITS:
            raise ToolFailed(_TOO_LARGE)
        return value
    if type(value) is float:
        if not math.isfinite(value):
            raise ToolFailed(_TOO_LARGE)
        return value
    raise ValueError("not a real number")  # a root of a negative number


def _shown(value: int | float) -> str:
    """Twelve digits, so that 0.1 + 0.2 is 0.3; whole numbers with all of theirs."""
    return str(value) if isinstance(value, int) else format(value, ".12g")


def _bounded(function: Callable[..., Any]) -> Callable[..., int | float]:
    return lambda *numbers: _checked(function(*map(_checked, numbers)))


def _power(base: int | float, exponent: int | float) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1:
        if exponent * math.log10(abs(base)) > _MAX_DIGITS:
            raise ToolFailed(_TOO_LARGE)
    return base**exponent


def _factorial(number: int | float) -> int:
    if number > _MAX_FACTORIAL:
        raise ToolFailed(_TOO_LARGE)
    return math.factorial(number)  # type: ignore[arg-type]  # a TypeError is what a float gets


def _round(number: int | float, digits: int = 0) -> int | float:
    if abs(digits) > _MAX_DIGITS:
        raise ToolFailed(f"Numbers can be rounded to {_MAX_DIGITS} digits at most.")
    return round(number, digits) if digits else round(number)


_NODES = (ast.Constant, ast.Name, ast.UnaryOp, ast.BinOp, ast.Call)
_OPERATORS = {
    ast.Add: _bounded(operator.add),
    ast.Sub: _bounded(operator.sub),
    ast.Mult: _bounded(operator.mul),
    ast.Div: _bounded(operator.truediv),
    ast.FloorDiv: _bounded(operator.floordiv),
    ast.Mod: _bounded(operator.mod),
    ast.Pow: _bounded(_power),
    ast.UAdd: _bounded(operator.pos),
    ast.USub: _bounded(operator.neg),
}
_NAMES = {"pi": math.pi, "e": math.e}
_FUNCTIONS = {
    "abs": _bounded(abs),
    "ceil": _bounded(math.ceil),
    "cos": _bounded(math.cos),
    "exp": _bounded(math.exp),
    "factorial": _bounded(_factorial),
    "floor": _bounded(math.floor),
    "log": _bounded(math.log),
    "log10": _bounded(math.log10),
    "max": _bounded(max),
    "min": _bounded(min),
    "round": _bounded(_round),
    "sin": _bounded(math.sin),
    "sqrt": _bounded(math.sqrt),
    "tan": _bounded(math.tan),
}

"""Boolean expressions over three numbers, read and computed without `eval`.

An expression is Python's syntax cut down to numbers, comparisons, `and`/`or`/`not`, arithmetic, a few functions, and
lists of numbers to compare. Text from a model goes through three gates: its length, a whitelist of syntax nodes with a
limit on their number and depth, and bounds on every number while it is computed. Decimals are exact fractions, so
`0.1 + 0.2 == 0.3` holds.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

LONGEST = 400
MOST_NODES = 150
DEEPEST = 20
MOST_BITS = 256
"""Size of the largest number (numerator and denominator each)."""

NAMES = ("x", "y", "z")
Numbers = dict[str, Fraction | int]
_DIGITS = re.compile(r"\d{20}")


class Refused(ValueError):
    """A text that is no expression of this grammar; the message says why, for whoever wrote it."""


class Undefined(ValueError):
    """An expression has no value for these numbers: a division by zero, a number beyond all bounds."""


def _root(value: Any) -> Any:
    if value < 0:
        raise Undefined("square root of a negative number")
    square = Fraction(value)
    top, bottom = math.isqrt(square.numerator), math.isqrt(square.denominator)
    if top * top == square.numerator and bottom * bottom == square.denominator:
        return exact(Fraction(top, bottom))
    return math.sqrt(value)


def _same(value: Any) -> Any:
    return value


def _round(value: Any, digits: Any = 0) -> Any:
    if not -20 <= digits <= 20:
        raise Undefined("rounding to that many digits")
    return round(Fraction(value), int(digits))


def exact(number: Fraction | int | float) -> Fraction | int:
    """The number as written: a fraction, or a whole number where it is one (those are the faster ones)."""
    fraction = Fraction(str(number)) if isinstance(number, float) else Fraction(number)
    return fraction.numerator if fraction.denominator == 1 else fraction


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "min": min,
    "max": max,
    "sum": sum,
    "len": len,
    "round": _round,
    "int": math.trunc,
    "float": _same,
    "bool": bool,
    "sorted": lambda values: tuple(sorted(values)),
    "set": frozenset,
    "list": tuple,
    "tuple": tuple,
    "all": all,
    "any": any,
    "sqrt": _root,
    "floor": math.floor,
    "ceil": math.ceil,
}
"""What may be called, also as `math.NAME`."""

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}


def _power(base: Any, exponent: Any) -> Any:
    if Fraction(exponent).denominator == 1:
        exponent = int(exponent)
        size = max(Fraction(base).numerator.bit_length(), Fraction(base).denominator.bit_length())
        if size * abs(exponent) > MOST_BITS:
            raise Undefined("a power is too large")
        return exact(Fraction(base) ** exponent)
    if base < 0:
        raise Undefined("a broken power of a negative number")
    return _root(base) if exponent == Fraction(1, 2) else float(base) ** float(exponent)


def _divide(left: Any, right: Any) -> Any:
    return exact(Fraction(left) / Fraction(right))


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _divide,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_LISTS = (ast.Tuple, ast.List, ast.Set)
_ALLOWED = (
    *(ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.Compare, ast.BinOp),
    *(ast.Call, ast.Name, ast.Load, ast.Constant, ast.IfExp, *_LISTS, *_COMPARE, *_ARITHMETIC),
)


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression.

    Attributes:
        text: As it was given, without a `lambda` before it.
        constants: The numbers in it, without repeats.
    """

    text: str
    constants: tuple[Fraction | int, ...]
    _body: ast.expr
    _names: tuple[str, ...]

    def holds(self, numbers: tuple[Fraction | int, ...]) -> bool:
        """Whether it is true of three numbers; False where it has no value (see `Undefined`)."""
        try:
            return bool(_value(self._body, dict(zip(self._names, numbers, strict=True))))
        except (Undefined, ArithmeticError, TypeError, ValueError):
            return False


def parse_expression(text: str) -> Expression:
    """Read an expression over x, y and z, or `lambda a, b, c: ...` over names of its own.

    Raises:
        Refused: It is none, holds something that the grammar does not have, or is too long, too deep or too large.
    """
    text = text.strip()
    if len(text) > LONGEST:
        raise Refused(f"the expression has {len(text)} characters; at most {LONGEST} are read")
    if _DIGITS.search(text):
        raise Refused("a number has too many digits")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # such as "invalid decimal literal": what was written decides, not a warning
            body = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Refused("it is not an expression in Python's syntax") from None
    names: tuple[str, ...] = NAMES
    if isinstance(body, ast.Lambda):
        arguments = body.args
        plain = not (arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults)
        names = tuple(one.arg for one in [*arguments.posonlyargs, *arguments.args])
        if not plain or len(names) != 3:
            raise Refused("a lambda needs exactly three plain arguments")
        body = body.body
        text = text.partition(":")[2].strip()
    return Expression(text, _check(body, names), body, names)


def _check(body: ast.expr, names: tuple[str, ...]) -> tuple[Fraction | int, ...]:
    constants: dict[Fraction | int, None] = {}
    waiting: list[tuple[ast.AST, int]] = [(body, 1)]
    count = 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if count > MOST_NODES or depth > DEEPEST:
            raise Refused("the expression is too large")
        if isinstance(node, ast.Call):
            _check_call(node)
            waiting += [(one, depth + 1) for one in node.args]
            continue
        if not isinstance(node, _ALLOWED):
            raise Refused(f"{type(node).__name__} is not allowed")
        if isinstance(node, ast.Name) and node.id not in names:
            raise Refused(f"the name {node.id[:20]!r} is not known; the numbers are {', '.join(names)}")
        if isinstance(node, ast.Constant) and not isinstance(node.value, bool):
            constants[_constant(node)] = None
        waiting += [(child, depth + 1) for child in ast.iter_child_nodes(node)]
    return tuple(constants)


def _constant(node: ast.Constant) -> Fraction | int:
    """Put the exact number into the node, and give it back."""
    value = node.value
    if not isinstance(value, int | float) or not -1e18 < value < 1e18:
        raise Refused("only numbers below 10 ** 18, True and False are allowed as constants")
    # Syntax trees hold whatever they are given; this one is computed by `_value` and nothing else.
    node.value = number = exact(value)  # type: ignore[assignment]
    return number


def _check_call(node: ast.Call) -> None:
    if _called(node) not in FUNCTIONS:
        raise Refused(f"only these functions are known: {', '.join(FUNCTIONS)}")
    if node.keywords or any(isinstance(one, ast.Starred) for one in node.args) or len(node.args) > 6:
        raise Refused("functions take up to six plain arguments")


def _called(node: ast.Call) -> str | None:
    function = node.func
    if isinstance(function, ast.Attribute):
        of_math = isinstance(function.value, ast.Name) and function.value.id == "math"
        return function.attr if of_math else None
    return function.id if isinstance(function, ast.Name) else None


def _value(node: ast.expr, numbers: Numbers) -> Any:
    return _COMPUTE[type(node)](node, numbers)


def _logic(node: ast.BoolOp, numbers: Numbers) -> Any:
    stop = isinstance(node.op, ast.Or)
    result: Any = None
    for operand in node.values:
        result = _value(operand, numbers)
        if bool(result) is stop:
            break
    return result


def _unary(node: ast.UnaryOp, numbers: Numbers) -> Any:
    operand = _value(node.operand, numbers)
    if isinstance(node.op, ast.Not):
        return not operand
    return -_number(operand) if isinstance(node.op, ast.USub) else _number(operand)


def _binary(node: ast.BinOp, numbers: Numbers) -> Any:
    left, right = (_number(_value(side, numbers)) for side in (node.left, node.right))
    return _bounded(_ARITHMETIC[type(node.op)](left, right))


def _comparison(node: ast.Compare, numbers: Numbers) -> bool:
    left = _value(node.left, numbers)
    for operation, side in zip(node.ops, node.comparators, strict=True):
        right = _value(side, numbers)
        if not _COMPARE[type(operation)](left, right):
            return False
        left = right
    return True


def _call(node: ast.Call, numbers: Numbers) -> Any:
    return _bounded(FUNCTIONS[str(_called(node))](*(_value(one, numbers) for one in node.args)))


def _members(node: ast.Tuple | ast.List | ast.Set, numbers: Numbers) -> Any:
    values = (_value(one, numbers) for one in node.elts)
    return frozenset(values) if isinstance(node, ast.Set) else tuple(values)


_COMPUTE: dict[type[ast.expr], Callable[[Any, Numbers], Any]] = {
    ast.Name: lambda node, numbers: numbers[node.id],
    ast.Constant: lambda node, numbers: node.value,
    ast.BoolOp: _logic,
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.Compare: _comparison,
    ast.IfExp: lambda node, numbers: _value(node.body if _value(node.test, numbers) else node.orelse, numbers),
    ast.Call: _call,
    **dict.fromkeys(_LISTS, _members),
}
"""How each kind of node is computed; `_check` lets no other pass."""


def _number(value: Any) -> Any:
    """Only numbers are reckoned with: a list times a number would grow without bounds."""
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, int | Fraction | float):
        raise Undefined("arithmetic with something that is no number")
    return value


def _bounded(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise Undefined("a number beyond all bounds")
    if (
        isinstance(value, int | Fraction)
        and max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS
    ):
        raise Undefined("a number beyond all bounds")
    return value

"""Which wells a correction is fitted on: ``negcon``, ``all``, or a query over the columns of ``obs``.

A query is made of comparisons of a column with constants, such as ``Metadata_Compound == 'DMSO'``, by ``==``, ``!=``,
``<``, ``<=``, ``>``, ``>=``, ``in`` and ``not in``, joined by ``and``, ``or``, ``not`` and brackets. It is parsed,
never executed.
"""

from __future__ import annotations

import ast
import hashlib
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from platemae.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

Mask = npt.NDArray[np.bool_]

NEGCON, ALL = "negcon", "all"
WORDS = (NEGCON, ALL)
_CONTROL_TYPE = "Metadata_Control_Type"
_REMEDY = "write comparisons such as Metadata_Compound == 'DMSO', joined by and, or, not; or use negcon or all"
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def check_selection(fit_on: str) -> None:
    """Refuse what is neither a word nor a query.

    Raises
    ------
    ConfigError
        Naming the part that is not understood.
    """
    if fit_on not in WORDS:
        _parse(fit_on)


def selection_name(fit_on: str) -> str:
    """Return the name of a selection in paths: the word itself, or ``query-`` and a digest that knows no spaces."""
    if fit_on in WORDS:
        return fit_on
    text = ast.unparse(_parse(fit_on))
    return f"query-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def selection_columns(fit_on: str) -> list[str]:
    """Return the columns that a selection looks at."""
    if fit_on in WORDS:
        return [_CONTROL_TYPE]
    return sorted({node.id for node in ast.walk(_parse(fit_on)) if isinstance(node, ast.Name)})


def select_rows(obs: pd.DataFrame, fit_on: str) -> Mask:
    """Return which rows of a table are selected.

    Parameters
    ----------
    obs
        Columns as in ``AnnData.obs``.
    fit_on
        ``negcon``: negative controls; ``all``: every row but empty wells; else a query. A column that is compared with
        a number is read as numbers; what is none then fits no comparison but ``!=``.

    Raises
    ------
    ConfigError
        If it is no query, or names a column that is not there.
    """
    if fit_on in WORDS:
        kind = obs[_CONTROL_TYPE].astype(str).to_numpy()
        return np.asarray(kind == NEGCON if fit_on == NEGCON else kind != "empty", dtype=bool)
    lacking = [name for name in selection_columns(fit_on) if name not in obs.columns]
    if lacking:
        what = f"there is no column {', '.join(lacking)} in '{fit_on}'"
        raise ConfigError(what, "corrections: fit_on", f"columns are {', '.join(map(str, obs.columns))}")
    return _evaluate(_parse(fit_on), obs)


def _parse(query: str) -> ast.expr:
    try:
        tree = ast.parse(query.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"'{query[:200]}' is no query ({error})", "corrections: fit_on", _REMEDY) from None
    for part in _strange(tree):
        raise ConfigError(f"'{part[:200]}' is not allowed in a query", "corrections: fit_on", _REMEDY)
    return tree


def _strange(node: ast.expr) -> Iterator[str]:
    """Yield the parts that are no comparison of columns with constants."""
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _strange(value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield from _strange(node.operand)
    elif isinstance(node, ast.Compare):
        names = [side for side in (node.left, *node.comparators) if isinstance(side, ast.Name)]
        if len(names) != 1:
            yield f"{ast.unparse(node)} (one column each comparison)"
        sides = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
            listed = isinstance(op, ast.In | ast.NotIn)
            if (listed and not isinstance(left, ast.Name)) or not (listed or type(op) in _COMPARE):
                yield ast.unparse(node)
            yield from _wrong_side(left, False)
            yield from _wrong_side(right, listed)
    else:
        yield ast.unparse(node)


def _wrong_side(node: ast.expr, listed: bool) -> Iterator[str]:
    if listed and isinstance(node, ast.List | ast.Tuple | ast.Set):
        for item in node.elts:
            yield from [] if _is_constant(item) else [ast.unparse(item)]
    elif listed or not (isinstance(node, ast.Name) or _is_constant(node)):
        yield ast.unparse(node)


def _is_constant(node: ast.expr) -> bool:
    types: tuple[type, ...] = (str, int, float)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node, types = node.operand, (int, float)
    return isinstance(node, ast.Constant) and type(node.value) in types  # bool is a subclass of int


def _evaluate(node: ast.expr, obs: pd.DataFrame) -> Mask:
    if isinstance(node, ast.BoolOp):
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return np.asarray(join.reduce([_evaluate(value, obs) for value in node.values]), dtype=bool)
    if isinstance(node, ast.UnaryOp):
        return ~_evaluate(node.operand, obs)
    assert isinstance(node, ast.Compare)
    sides = [node.left, *node.comparators]
    found = np.ones(len(obs), dtype=bool)
    for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
        found &= _compare(op, left, right, obs)
    return found


def _compare(op: ast.cmpop, left: ast.expr, right: ast.expr, obs: pd.DataFrame) -> Mask:
    constant = right if isinstance(left, ast.Name) else left
    if isinstance(op, ast.In | ast.NotIn):
        items = ast.literal_eval(constant)
        found = np.zeros(len(obs), dtype=bool)
        for item in items:
            found |= _column(left, obs, [item]) == item
        return ~found if isinstance(op, ast.NotIn) else found
    value = ast.literal_eval(constant)
    sides = [_column(side, obs, [value]) if isinstance(side, ast.Name) else value for side in (left, right)]
    return np.asarray(_COMPARE[type(op)](*sides), dtype=bool)


def _column(node: ast.expr, obs: pd.DataFrame, beside: Sequence[Any]) -> npt.NDArray[Any]:
    """Return a column as text, or as numbers where it is compared with numbers."""
    assert isinstance(node, ast.Name)
    values = obs[node.id].astype(str).to_numpy(dtype=object)
    if any(isinstance(value, str) for value in beside):
        return values
    return np.array([_number(value) for value in values])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")

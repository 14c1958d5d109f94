"""Digests: of content (arrays, tables, AnnData) and of code (the import closure of a stage, from the AST).

Nothing is imported or executed to fingerprint code, so the Snakefile can do it in milliseconds.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from platemae.contracts import canonical
from platemae.errors import MissingError

PACKAGE = Path(__file__).parent
NOT_SCIENCE = tuple(f"platemae.{name}" for name in ("cli", "logs", "errors", "layout", "live", "look", "sharing"))
"""Modules, and packages with all in them, whose change alters no result; they stale nothing."""


def digest_bytes(*parts: bytes) -> str:
    """Return the SHA-256 of ``parts``, each preceded by its length."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(len(part).to_bytes(8, "little"))
        hasher.update(part)
    return hasher.hexdigest()


def digest_json(value: Mapping[str, Any] | list[Any]) -> str:
    """Return the digest of a JSON value, whatever the order of its keys."""
    return digest_bytes(canonical(value).encode())


def digest_array(array: np.ndarray) -> str:
    """Return the digest of an array's dtype, shape and values."""
    array = np.ascontiguousarray(array)
    hasher = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    hasher.update(array.view(np.uint8).reshape(-1).data if array.size else b"")
    return hasher.hexdigest()


def digest_table(table: Any, leave_out: Iterable[str] = ()) -> str:
    """Return the digest of a pandas table's columns, in order, without its index.

    Parameters
    ----------
    table
        A ``pandas.DataFrame`` of numbers, booleans and text.
    leave_out
        Columns that differ from run to run, such as durations.
    """
    parts = []
    for name in (c for c in table.columns if c not in set(leave_out)):
        column = table[name]
        numeric = getattr(column.dtype, "kind", "O") in "biuf"
        values = column.to_numpy() if numeric else np.array([_text(v) for v in column], dtype="U")
        parts += [str(name).encode(), digest_array(values).encode()]
    return digest_bytes(*parts)


def _text(value: Any) -> str:
    missing = value is None or (isinstance(value, float) and np.isnan(value))
    return "" if missing else str(value)


def digest_anndata(data: Any) -> str:
    """Return the digest of an AnnData's X, obs (index included), var names and obsm arrays."""
    parts = [digest_array(np.asarray(data.X)), digest_table(data.obs.reset_index()), "\n".join(data.var_names)]
    parts += [f"{key}{digest_array(np.asarray(value))}" for key, value in sorted(data.obsm.items())]
    return digest_bytes(*(part.encode() for part in parts))


# -- code -------------------------------------------------------------------------------------------------------------


def code_digest(stage: str, entries: Iterable[str] = (), package: Path = PACKAGE) -> str:
    """Return the digest of all code that a stage can reach, without comments, docstrings and layout.

    Parameters
    ----------
    stage
        Name of the stage, a module in ``platemae.stages``.
    entries
        Names looked up in the registries on the way, such as ``mae``: of a registry only these entries are followed,
        so that editing one architecture stales its own models alone.
    package
        Folder of the package.

    Raises
    ------
    MissingError
        When the stage has no module.
    """
    modules = module_digests(stage, entries, package)
    return digest_bytes(*(f"{name}\n{digest}".encode() for name, digest in modules.items()))


def module_digests(stage: str, entries: Iterable[str] = (), package: Path = PACKAGE) -> dict[str, str]:
    """Return the digest of each module that a stage can reach, sorted by name: what `code_digest` is made of.

    Raises
    ------
    MissingError
        When the stage has no module.
    """
    closure = import_closure(f"platemae.stages.{stage}", tuple(sorted(set(entries))), package)
    return {name: _read(name, path).digest for name, path in sorted(closure.items())}


def import_closure(start: str, entries: tuple[str, ...], package: Path = PACKAGE) -> dict[str, Path]:
    """Return the modules of the package that ``start`` reaches by import statements, registries cut to ``entries``."""
    if _module_path(start, package) is None:
        raise MissingError(f"there is no module {start}", str(package), "check the name of the stage")
    found: dict[str, Path] = {}
    queue = [start]
    while queue:
        name = queue.pop()
        path = _module_path(name, package)
        if path is None or name in found or _is_shown_only(name):
            continue
        found[name] = path
        module = _read(name, path)
        queue += module.imports
        queue += [target.split(":")[0] for key, target in module.registry if key in entries]
    return found


def _is_shown_only(name: str) -> bool:
    return any(name == left_out or name.startswith(f"{left_out}.") for left_out in NOT_SCIENCE)


def _module_path(name: str, package: Path) -> Path | None:
    base = package.joinpath(*name.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file() and name.split(".")[0] == "platemae":
            return path
    return None


class _Module(NamedTuple):
    """What a file of the package says.

    Parameters
    ----------
    imports
        Modules of the package that it names in imports.
    registry
        Entries of its REGISTRY literal.
    digest
        Of its code, without comments, docstrings and layout.
    """

    imports: tuple[str, ...]
    registry: tuple[tuple[str, str], ...]
    digest: str


def _read(name: str, path: Path) -> _Module:
    stat = path.stat()
    return _parse(name, path, (stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=4096)
def _parse(name: str, path: Path, stamp: tuple[int, int]) -> _Module:
    tree = ast.parse(path.read_text())
    return _Module(tuple(_imports(tree, path, name)), tuple(_registry(tree)), _source_digest(tree))


def _imports(tree: ast.Module, path: Path, name: str) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parent = node.module or ""
            if node.level:
                parts = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
                parent = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])
            names += [parent, *(f"{parent}.{alias.name}" for alias in node.names)]
    return [n for n in names if n.startswith("platemae")]


def _registry(tree: ast.Module) -> list[tuple[str, str]]:
    for node in tree.body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Dict):
            continue
        if any(isinstance(target, ast.Name) and target.id == "REGISTRY" for target in node.targets):
            return [(str(key), str(value)) for key, value in ast.literal_eval(node.value).items()]
    return []


def _source_digest(tree: ast.Module) -> str:
    """Return the digest of a module's code; its tree loses what documents it."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # A string that stands alone is documentation: docstrings, and the ones below constants.
            kept = [
                n
                for n in body
                if not (
                    isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant) and isinstance(n.value.value, str)
                )
            ]
            node.body = kept if kept or isinstance(node, ast.Module) else [ast.Pass()]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree, annotate_fields=False, include_attributes=False).encode()).hexdigest()

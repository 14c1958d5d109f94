"""Digests: equal content is equal, a comment is no change, an unnamed registry entry is not followed."""

import numpy as np
import pandas as pd
import pytest

from platemae.errors import MissingError
from platemae.fingerprint import code_digest, digest_array, digest_json, digest_table, import_closure

FILES = {
    "__init__.py": "",
    "errors.py": "class E(Exception): pass\n",
    "stages/__init__.py": "",
    "stages/train.py": (
        '"""Doc."""\nfrom platemae import helper\nfrom platemae.models import registry\nfrom platemae.errors import E\n'
    ),
    "helper.py": "def f(x):\n    # a comment\n    return x + 1\n",
    "models/__init__.py": "",
    "models/registry.py": 'REGISTRY = {"a": "platemae.models.a:A", "b": "platemae.models.b:B"}\n',
    "models/a.py": "from .shared import s\n\nclass A: pass\n",
    "models/b.py": "class B: pass\n",
    "models/shared.py": "s = 1\n",
    "unrelated.py": "x = 1\n",
}


@pytest.fixture
def package(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "platemae" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "platemae"


def edit(package, name, text):
    (package / name).write_text(text)


def test_closure_follows_imports_and_only_the_named_entry(package):
    closure = set(import_closure("platemae.stages.train", ("a",), package))
    assert {"platemae.helper", "platemae.models.a", "platemae.models.shared"} <= closure
    assert not closure & {"platemae.models.b", "platemae.unrelated", "platemae.errors"}


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        ("helper.py", "def f(x):\n    return x + 2\n", True),
        ("helper.py", 'def f(x):\n    """Docs."""\n    return   x + 1  # other comment\n', False),
        ("models/shared.py", "s = 2\n", True),
        ("models/b.py", "class B: y = 1\n", False),
        ("models/a.py", "from .shared import s\n\nclass A: y = 1\n", True),
        ("unrelated.py", "x = 2\n", False),
        ("errors.py", "class E(ValueError): pass\n", False),
    ],
)
def test_code_digest_changes_just_with_code_that_the_stage_reaches(package, name, text, changes):
    before = code_digest("train", ["a"], package)
    edit(package, name, text)
    assert (code_digest("train", ["a"], package) != before) is changes


def test_unknown_stage_is_an_error(package):
    with pytest.raises(MissingError):
        code_digest("nope", [], package)


def test_a_function_of_docstring_alone_still_parses(package):
    edit(package, "helper.py", 'def f(x):\n    """Only words."""\n')
    first = code_digest("train", ["a"], package)
    edit(package, "helper.py", 'def f(x):\n    """Other words."""\n')
    assert code_digest("train", ["a"], package) == first


def test_json_digest_ignores_the_order_of_keys():
    assert digest_json({"a": 1, "b": [1, 2]}) == digest_json({"b": [1, 2], "a": 1})
    assert digest_json({"a": 1, "b": 2}) != digest_json({"a": 2, "b": 1})


def test_array_digest_sees_dtype_shape_and_values():
    array = np.arange(6)
    assert digest_array(array) == digest_array(np.arange(12)[::2] // 2)
    assert digest_array(array) != digest_array(array.astype(np.int32))
    assert digest_array(array) != digest_array(array.reshape(2, 3))
    assert digest_array(np.zeros((0, 3))) != digest_array(np.zeros((3, 0)))


def test_table_digest_ignores_index_and_named_columns():
    table = pd.DataFrame({"a": [1.0, np.nan], "b": ["x", None], "seconds": [1, 2]})
    same = table.assign(seconds=[3, 4]).set_axis([5, 6])
    assert digest_table(table, ["seconds"]) == digest_table(same, ["seconds"])
    assert digest_table(table) != digest_table(same)
    assert digest_table(table[["a"]]) != digest_table(table[["a"]].rename(columns={"a": "c"}))
    categorical = table.assign(b=table["b"].astype("category"))
    assert digest_table(categorical) == digest_table(table)


def test_layouts_are_science_though_their_name_begins_like_that_of_layout():
    modules = import_closure("platemae.stages.ingest_plate", ())
    assert "platemae.layouts.read" in modules
    assert "platemae.layout" not in modules

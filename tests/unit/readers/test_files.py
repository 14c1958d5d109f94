"""No path of metadata leaves its root."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platemae.errors import InputError
from platemae.readers.files import below


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.tif", "a.tif"),
        (" a b#1.tif\n", "a b#1.tif"),
        ("TimePoint_1/a.tif", "TimePoint_1/a.tif"),
        ("TimePoint_1\\a.tif", "TimePoint_1/a.tif"),
        ("Images/../a.tif", "a.tif"),
        ("..a.tif", "..a.tif"),
    ],
)
def test_names_below_the_folder(tmp_path, name, path):
    assert below(tmp_path, name, "index") == tmp_path / path


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "../a.tif",
        "a/../../a.tif",
        "..\\a.tif",
        "/etc/passwd",
        "\\\\server\\share\\a.tif",
        "C:\\a.tif",
        "c:a.tif",
        "a\0.tif",
    ],
)
def test_names_that_leave_it_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="not below the plate's folder") as caught:
        below(tmp_path, name, "Index.xml, image 7")
    assert caught.value.where == "Index.xml, image 7"


@given(st.text(alphabet="./\\aC: \0", max_size=12))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_whatever_is_accepted_lies_below(tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp() / "plate"
    try:
        path = below(folder, name, "index")
    except InputError:
        return
    assert path.resolve().is_relative_to(folder.resolve())
    assert path.resolve() != folder.resolve()

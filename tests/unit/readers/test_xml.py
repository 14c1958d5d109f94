"""XML of instruments is streamed element by element, and refused where it is hostile."""

import pytest

from platemae.errors import InputError, MissingError
from platemae.readers.xml import MAX_DEPTH, attribute, local, stream, text

BOMB = (
    '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><Images><Image>&b;</Image></Images>'
)


def write(tmp_path, content):
    path = tmp_path / "index.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("n", [0, 1, 7, 5000])
def test_every_element_comes_once_and_whole_however_the_file_is_cut_into_chunks(tmp_path, n):
    images = "".join(f'<i:Image id="{k}"><i:URL>{k}.tif</i:URL><i:Row>{k % 16}</i:Row></i:Image>\n' for k in range(n))
    path = write(
        tmp_path, f'\ufeff<?xml version="1.0"?><i:Data xmlns:i="urn:any"><i:Images>{images}</i:Images></i:Data>'
    )
    found = [(attribute(e, "id"), text(e, "URL"), text(e, "Row")) for e in stream(path, {"Image"})]
    assert found == [(str(k), f"{k}.tif", str(k % 16)) for k in range(n)]


def test_elements_come_in_order_from_any_depth_and_the_root_as_well(tmp_path):
    path = write(tmp_path, "<A><B><C n='1'/></B><C n='2'><C n='3'/></C><D><E><C n='4'/></E></D></A>")
    assert [attribute(e, "n") for e in stream(path, {"C"})] == ["1", "2", "4"]
    assert [local(e.tag) for e in stream(path, {"A"})] == ["A"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (BOMB, "declares entities"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "declares entities"),
        ("", "no XML"),
        ("<Images><Image>", "no XML"),
        (b"<\xff\xfe\x00>", "no XML"),
        ('<?xml version="1.0" encoding="no-such"?><a/>', "no XML"),
        ("<Images>&lol;</Images>", "no XML"),
    ],
)
def test_what_is_refused(tmp_path, content, what):
    with pytest.raises(InputError, match=what):
        list(stream(write(tmp_path, content), {"Image"}))


def test_deep_nesting_is_refused(tmp_path):
    deep = MAX_DEPTH * 1000  # more than one chunk, or the elements would be complete when they are looked at
    with pytest.raises(InputError, match="too deep"):
        list(stream(write(tmp_path, "<a>" * deep + "</a>" * deep), {"Image"}))


def test_a_missing_file(tmp_path):
    with pytest.raises(MissingError):
        list(stream(tmp_path / "index.xml", {"Image"}))

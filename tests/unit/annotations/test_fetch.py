"""Annotation sets from a server of the test, from files, and from nowhere."""

import functools
import hashlib
import http.server
import json
import shutil
import threading
from pathlib import Path

import pytest

from platemae.annotations import catalogue
from platemae.annotations.catalogue import SETS, AnnotationSet
from platemae.annotations.fetch import fetch
from platemae.benchmarks.annotations import read_relations
from platemae.cli import main
from platemae.errors import ConfigError, InputError, MissingError, PlatemaeError

FREE, BOUND = b"entity1,entity2\nB,A\nA,B\nC,C\n", b"entity1,entity2\nX,Y\n"
REAL = Path(__file__).parents[4] / "shared" / "data" / "relations-efaar"


@pytest.fixture
def sets(monkeypatch):
    """Put two small sets in the place of the catalogue's: a free one, and one with 16 digits for non-commercial use."""
    free = AnnotationSet("free", "Free.txt", hashlib.sha256(FREE).hexdigest(), "CC BY 4.0", "https://free")
    digits = hashlib.sha256(BOUND).hexdigest()[:16]
    bound = AnnotationSet("bound", "Bound.txt", digits, "CC BY-NC 4.0", "https://bound")
    monkeypatch.setattr(catalogue, "SETS", {"free": free, "bound": bound})


@pytest.fixture
def origin(tmp_path):
    """Serve a folder with both files."""
    folder = tmp_path / "origin"
    folder.mkdir()
    (folder / "Free.txt").write_bytes(FREE)
    (folder / "Bound.txt").write_bytes(BOUND)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_set_is_downloaded_checked_and_written_with_its_licence(sets, origin, tmp_path):
    (said,) = fetch(["Free"], tmp_path / "out", origin=origin)
    assert "1 pairs; CC BY 4.0 https://free" in said
    assert (tmp_path / "out/free.csv").read_text() == "entity1,entity2\nA,B\n"
    source = json.loads((tmp_path / "out/free.source.json").read_text())
    assert source["origin"] == f"{origin}/Free.txt"
    assert source["sha256"] == hashlib.sha256(FREE).hexdigest()
    assert (source["self_pairs"], source["duplicates"], source["checked"]) == (1, 1, True)
    assert read_relations(tmp_path / "out/free.csv").notes["pairs"] == 1


def test_a_non_commercial_set_needs_its_licence_accepted(sets, origin, tmp_path):
    with pytest.raises(ConfigError, match="bound may not be used commercially") as caught:
        fetch(["free", "bound"], tmp_path / "out", origin=origin)
    assert "https://bound" in caught.value.where
    assert not (tmp_path / "out").exists(), "nor is the free one written"
    fetch(["free", "bound"], tmp_path / "out", ["cc-by-nc"], origin)
    assert (tmp_path / "out/bound.csv").is_file()


@pytest.mark.parametrize("how", ["http", "folder", "file"])
@pytest.mark.parametrize("name", ["free", "bound"])
def test_a_wrong_checksum_is_an_error_and_nothing_is_written(sets, origin, tmp_path, how, name):
    (tmp_path / "origin" / f"{name.title()}.txt").write_bytes(FREE + b"D,E\n")
    places = {"http": origin, "folder": str(tmp_path / "origin"), "file": (tmp_path / "origin").as_uri()}
    with pytest.raises(InputError, match=f"{name} is not the file it should be: sha256") as caught:
        fetch(["free", "bound"], tmp_path / "out", ["cc-by-nc"], places[how])
    assert "nothing was written" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_an_origin_that_is_not_there_is_said(sets, origin, tmp_path):
    with pytest.raises(MissingError, match="cannot be downloaded"):
        fetch(["free"], tmp_path / "out", origin=f"{origin}/gone")
    with pytest.raises(MissingError, match="not there"):
        fetch(["free"], tmp_path / "out", origin=str(tmp_path / "gone"))


def test_all_unknown_names_are_told_with_the_known_ones(tmp_path):
    with pytest.raises(PlatemaeError, match="2 problems") as caught:
        fetch(["string", "reactom"], tmp_path / "out")
    assert "reactome" in caught.value.remedy


def test_own_files_are_normalised_and_outdated_symbols_replaced(tmp_path):
    (tmp_path / "Mine.tsv").write_text("gene_a\tgene_b\tscore\nOLD\tB\t1\nB\tNEW\t2\nB\tC\t3\n")
    (said,) = fetch([str(tmp_path / "Mine.tsv")], tmp_path / "out", aliases={"OLD": "NEW"})
    assert "2 pairs; licence not known here" in said
    assert (tmp_path / "out/mine.csv").read_text() == "entity1,entity2\nB,C\nB,NEW\n"
    assert json.loads((tmp_path / "out/mine.source.json").read_text())["renamed"] == 1


def test_the_command_takes_the_licence_from_flag_or_configuration(sets, origin, tmp_path, capsys):
    call = ["fetch-annotations", "bound", "--out", str(tmp_path / "out"), "--from", origin]
    assert main(call) == 2
    assert "--accept-licence cc-by-nc" in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text("annotations: {accept_licences: [cc-by-nc]}\n")
    assert main([*call, "--configfile", str(tmp_path / "config.yaml")]) == 0
    shutil.rmtree(tmp_path / "out")
    assert main([*call, "--accept-licence", "cc-by-nc"]) == 0
    assert "CC BY-NC 4.0" in capsys.readouterr().out


def test_the_catalogue_says_what_may_not_be_used_commercially():
    assert {name for name, made in SETS.items() if made.non_commercial} == {"corum", "corum_clusters", "signor"}
    assert all(len(made.sha256) in (16, 64) and int(made.sha256, 16) for made in SETS.values())


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared data is not here")
def test_the_free_sets_of_the_catalogue_are_those_files(tmp_path):
    fetch(["Reactome", "hu.MAP", "StringDB"], tmp_path, origin=str(REAL))
    pairs = {
        name: len((tmp_path / f"{name}.csv").read_text().splitlines()) - 1 for name in ("reactome", "humap", "stringdb")
    }
    assert pairs == {"reactome": 18_565, "humap": 58_538, "stringdb": 58_059}


def test_no_table_replaces_another_or_its_own_source(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "pairs.csv").write_text("entity1,entity2\nB,A\n")
    one, two = (str(tmp_path / folder / "pairs.csv") for folder in ("one", "two"))
    with pytest.raises(ConfigError, match=r"two tables would be called pairs\.csv"):
        fetch([one, two], tmp_path / "out")
    with pytest.raises(ConfigError, match="would replace its source"):
        fetch([one], tmp_path / "one")
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "one/pairs.csv").read_text() == "entity1,entity2\nB,A\n"

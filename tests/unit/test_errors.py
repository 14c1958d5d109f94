"""Errors of the disk: what a user reads instead of a traceback, in any stage."""

import errno
import os
import pickle

import pytest

from platemae.cli import main
from platemae.errors import ConfigError, DiskError, InputError, disk_error, is_disk_error, raise_all, writing
from platemae.stages import ingest_plate


def refuse(code, path="P1.zarr"):
    raise OSError(code, os.strerror(code), path)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the quota is used up"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EACCES, "writing is not permitted"),
        (errno.EIO, "the disk reports a fault"),
    ],
)
def test_a_refused_write_says_what_where_and_what_to_do(code, said):
    with pytest.raises(DiskError) as caught, writing("plate P1, well A01, field 2"):
        refuse(code)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"error:  plate P1, well A01, field 2 cannot be written: {said}"
    assert lines[1] == "where:  P1.zarr"
    assert lines[2].startswith("remedy: ")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (DiskError, str(caught.value))


def test_our_own_errors_pass_unchanged():
    problem = InputError("an image is bad", "x.tif", "copy it again")
    with pytest.raises(InputError) as caught, writing("a field"):
        raise problem
    assert caught.value is problem
    assert not is_disk_error(disk_error(OSError(errno.ENOSPC, "full"), "a field"))


def run(tmp_path):
    return main(["ingest-plate", "--plate", "P1", "--results", str(tmp_path), "--cfg", "{}", "--code", "c"])


def test_a_stage_that_meets_a_full_disk_ends_with_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ingest_plate, "run", lambda *args, **kwargs: refuse(errno.ENOSPC, "scratch/table"))
    assert run(tmp_path) == 2
    err = capsys.readouterr().err
    assert "error:  ingest_plate of P1 was stopped: the disk is full\nwhere:  scratch/table\nremedy: " in err
    assert "was stopped: the disk is full" in (tmp_path / "logs/errors/ingest_plate/P1.json").read_text()


def test_a_mistake_of_the_program_is_not_dressed_up(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest_plate, "run", lambda *args, **kwargs: refuse(errno.ENOENT))
    with pytest.raises(FileNotFoundError):
        run(tmp_path)


def test_of_many_problems_with_one_remedy_the_first_are_listed():
    alike = [ConfigError(f"plate P{i} is missing", "layout.tsv", "write it") for i in range(300)]
    with pytest.raises(ConfigError) as caught:
        raise_all([*alike, ConfigError("another", "plates.tsv", "mend it")])
    lines = caught.value.what.splitlines()
    assert lines[0] == "301 problems"
    assert lines[-2:] == ["  301. another [plates.tsv]", "  and 290 more with the remedy: write it"]
    assert len(lines) == 1 + 10 + 2
    assert caught.value.remedy == "write it; mend it"

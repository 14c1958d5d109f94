"""The page of a training: whole, escaped, and drawn from the rows that it is given."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from imagecodecs import png_decode

from platemae.live import page, watch
from platemae.live.curves import MAX_POINTS, panel
from platemae.live.png import GAP_PX, HIDDEN, png, tiles

START = {"event": "start", "step": 0, "steps": 100, "world_size": 2, "device": "cpu", "precision": "float32"}
ABOUT = {"model": "m", "kind": "mae", "channels": "DNA, Actin"}


def row(step: int, **more) -> dict:
    values = {"loss": 1 / step, "mse": 1 / step, "fourier": 0.5, "lr": 1e-3, "grad_norm": 1.0, "crops_per_s": 10.0}
    return (
        {"event": "row", "step": step, "crops": 8 * step, "data_wait_fraction": 0.1, "val_loss": None} | values | more
    )


def test_png_is_read_by_another_library():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    assert np.array_equal(png_decode(png(image)), image)


@pytest.mark.parametrize(("side", "shown"), [(64, 64), (8, 64), (256, 128)])
def test_tiles_show_rows_by_what_and_columns_by_channel(side, shown):
    target = np.random.default_rng(1).normal(size=(2, side, side))
    seen = target.copy()
    seen[:, : side // 2] = np.nan
    image = tiles(np.stack([target, seen, np.zeros_like(target)]))
    assert image.shape == (3 * shown + 2 * GAP_PX, 2 * shown + GAP_PX, 3)
    half = shown // 2
    second = image[shown + GAP_PX : 2 * shown + GAP_PX, :shown]
    assert (second[:half] == HIDDEN).all()
    assert (second[half:] == image[half:shown, :shown]).all(), "what is seen is that of the crop"
    assert (second[half:, :, 0] == second[half:, :, 2]).all(), "grey"


@pytest.mark.parametrize("n", [1, 3, 5 * MAX_POINTS + 1])
def test_a_curve_goes_through_its_points(n):
    text = panel("Loss <x>", "", {"a": [(i, 2.0 * i) for i in range(n)], "b": [(0, float("nan"))]})
    figure = ElementTree.fromstring(text.replace("<br>", "<br/>"))
    first = next(figure.iter("polyline")).get("points").split()
    places = np.array([[float(v) for v in point.split(",")] for point in first])
    assert 1 <= len(places) <= MAX_POINTS
    assert (np.diff(places[:, 0]) > 0).all()
    assert (np.diff(places[:, 1]) < 0).all(), "a rising value goes up"
    assert (places >= 0).all()


def test_marks_of_an_axis_differ():
    text = panel("Memory", "GB", {"memory": [(0, 0.44601), (1, 0.44609)]})
    marks = re.findall(r'text-anchor="end">([^<s]+)</text>', text)
    assert sorted(marks) == ["0.44601", "0.44605", "0.44609"]


def test_a_panel_without_finite_values_is_left_out():
    assert panel("Loss", "", {"a": [], "b": [(1, float("inf"))]}) == ""


def test_hostile_names_are_text():
    bad = "<script>alert(1)</script>\"'&<!--badge-->"
    text = page.render(dict.fromkeys(ABOUT, bad), START | {"attempt": 1, "device": bad}, [row(1)], None)
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)
    parser.feed(text)
    assert tags.count("script") == 1, "ours"
    assert text.count(page._BADGE) == 1


def test_what_is_to_go_follows_the_speed():
    # 90 steps of 8 crops each.
    assert page.remaining(row(10, crops_per_s=0.01), 10, 100) == "about 20 h to go"
    assert page.remaining(row(10, crops_per_s=0.001), 10, 100) == "about 8 days to go"
    assert page.remaining(row(10, crops_per_s=0.5), 10, 100) == "about 24 min to go"
    assert page.remaining({}, 0, 100) == "time to go not known yet"
    assert page.remaining(row(100), 100, 100) == "all steps done"


@pytest.fixture
def followed(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "EVERY_SECONDS", 0.0)
    crops = np.random.default_rng(0).normal(size=(3, 3, 2, 8, 8))
    heard = []
    return watch.Watch(tmp_path, ABOUT, 2, heard.append, lambda: crops), heard, tmp_path / page.PAGE


def test_the_page_follows_and_stands_alone(followed):
    follow, heard, path = followed
    follow(START | {"history": [row(5)]})
    assert "step 5 of 100" in path.read_text(), "an earlier attempt's rows are shown"
    follow(row(10, val_loss=0.2, val_mse=0.1, val_fourier=0.3))
    text = path.read_text()
    assert [event["event"] for event in heard] == ["start", "row"]
    assert "step 10 of 100" in text
    assert 'http-equiv="refresh"' in text
    assert "location.reload" in text
    assert text.count("<img") == 3
    assert not re.search(r"(?:src|href)=\"(?!data:)", text), "nothing is loaded from anywhere"
    assert "http://" not in text
    titles = set(re.findall(r"<b>([^<]+?)(?: <small>|</b>)", text))
    assert {"Loss", "Fourier part", "Learning rate", "Gradient norm", "Speed", "Waiting for crops"} <= titles


def test_the_page_is_not_written_at_every_row(followed, monkeypatch):
    follow, _, path = followed
    follow(START | {"history": []})
    monkeypatch.setattr(watch, "EVERY_SECONDS", 1e9)
    before = path.read_text()
    follow(row(10, val_loss=0.2))
    assert path.read_text() == before
    follow(row(100))
    assert "all steps done" in path.read_text(), "the last row is shown in any case"


def test_the_end_is_told_and_the_page_is_left_alone(followed):
    follow, _, path = followed
    follow(START | {"history": []})
    page.close(path.parent, "failed", "loss nan <b>")
    page.close(path.parent, "failed", "loss nan <b>")
    text = path.read_text()
    assert "Failed:</strong> loss nan &lt;b&gt;" in text
    assert 'http-equiv="refresh"' not in text
    assert "<script" not in text
    assert "</html>" in text
    assert "Running" not in text


def test_a_disk_that_takes_no_page_ends_no_training(tmp_path):
    (tmp_path / "file").touch()
    page.write(tmp_path / "file" / "page.html", "x")
    page.close(tmp_path, "finished", "")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_cost_adds_up_over_attempts_and_processes(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])

    def attempt(device: str, world_size: int, seconds: float):
        follow = watch.Watch(tmp_path, ABOUT, 3, lambda event: None, lambda: None)
        follow(START | {"device": device, "world_size": world_size, "history": []})
        now[0] += seconds
        follow({"event": "checkpoint", "step": 1})
        return follow

    attempt("cuda:0", 4, 1800)
    attempt("cpu", 2, 3600)
    assert attempt("cuda", 1, 900).cost() == {
        "gpu_hours": pytest.approx(4 * 0.5 + 0.25),
        "core_hours": pytest.approx(3 * (4 * 0.5 + 2 * 1 + 0.25)),
        "attempts": 3,
    }

import base64
import io

import numpy as np
import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from platemae.report.drawing import Drawing
from platemae.report.figures import curves, forest, looks, scatter
from platemae.report.mosaic import crop, plate_heatmaps
from platemae.report.style import PALETTE, canvas, png, svg

NAN = float("nan")


def decoded(drawing: Drawing) -> bytes:
    head, content = drawing.uri.split(",", 1)
    assert head in ("data:image/png;base64", "data:image/svg+xml;base64")
    return base64.b64decode(content)


def image(drawing: Drawing) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(decoded(drawing))).convert("RGB"))


def test_equal_data_give_equal_bytes_without_date() -> None:
    series = [("tvn", np.array([[0.5, 0.4, 0.6]]))]
    first, second = (forest(["mae"], series, [0.1], "recall") for _ in range(2))
    assert first == second
    assert b"date" not in decoded(first).lower()


def named_axes():
    figure = canvas(3, 2)
    axis = figure.subplots()
    axis.plot([1, 2, 3], [1000, 3000, 2000], label="a long name of a line")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def test_parts_lie_where_matplotlib_itself_would_lay_them() -> None:
    own = io.BytesIO()
    named_axes().savefig(own, format="png", dpi=120)
    drawn = image(png(named_axes(), 120, grey=True))
    assert np.array_equal(drawn, np.asarray(Image.open(own).convert("L").convert("RGB")))


def test_the_layout_of_a_figure_of_two_forms_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    execute = ConstrainedLayoutEngine.execute
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda self, fig: found.append(fig) or execute(self, fig))
    figure = named_axes()
    assert set(svg(figure).forms) == {"svg", "png"}
    assert found == [figure]


def test_names_with_dollar_and_angle_brackets_are_drawn_as_text() -> None:
    hostile = "<script>$\\frac{$"
    assert b"<script" not in decoded(forest([hostile], [(hostile, np.array([[0.5, NAN, NAN]]))], [], hostile))
    assert decoded(curves([(hostile, [(hostile, [1, 2], [3, 4])])], hostile))


def test_a_heatmap_shows_low_wells_dark_and_high_wells_bright() -> None:
    plate = np.full((8, 12), 0.0)
    plate[:, 6:] = 1.0
    failed = np.zeros((8, 12), dtype=bool)
    one = image(plate_heatmaps([[plate]], ["mean"], ["DNA"], [[(0.0, 1.0)]], failed))
    dark, bright = near(one, (68, 1, 84)), near(one, (253, 231, 36))
    assert dark.any()
    assert bright.any()
    assert np.nonzero(dark)[1].max() <= np.nonzero(bright)[1].min()
    failed[0, 0] = True
    marked = image(plate_heatmaps([[plate]], ["mean"], ["DNA"], [[(0.0, 1.0)]], failed))
    assert not reddish(one).any()
    assert reddish(marked).any()


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture.astype(int) - colour).sum(-1) < 12


def reddish(picture: np.ndarray) -> np.ndarray:
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    return (red > 180) & (green < 140) & (blue < 80)


def test_hidden_patches_of_a_crop_are_flat_grey() -> None:
    target = np.random.default_rng(0).normal(size=(2, 32, 32)).astype(np.float32)
    masked = target.copy()
    masked[:, 16:] = np.nan
    drawn = image(crop(np.stack([target, masked, target]), ["original", "masked", "reconstructed"], ["DNA", "ER"]))
    grey = (drawn == int(0.45 * 255)).all(-1)
    assert grey.sum() > 0.1 * grey.size  # half of two of six panels
    assert len(np.unique(drawn)) > 50


def test_eight_names_have_colours_and_markers_of_their_own_and_more_have_a_scale() -> None:
    few = looks([f"P{i}" for i in range(8)])
    assert {colour for colour, _ in few.values()} == set(PALETTE)
    assert len({marker for _, marker in few.values()}) == 8
    assert len({colour for colour, _ in looks([f"P{i}" for i in range(60)]).values()}) == 60


def test_twenty_thousand_wells_stay_small() -> None:
    rng = np.random.default_rng(0)
    xy_N2, labels_N = rng.normal(size=(20_000, 2)), rng.choice(["negcon", "treatment"], 20_000)
    shown = {"treatment": ("#B5BAC3", "o"), "negcon": (PALETTE[0], "s")}
    drawing = scatter([("before", xy_N2), ("after", xy_N2)], [("control type", labels_N, shown)])
    assert len(drawing.uri) < 400_000

"""Points as copies of a few drawn looks, held against Bokeh's own drawing of each point."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import PHONE, WIDE

pytestmark = pytest.mark.slow

DRAWN = """async ([size, selected]) => {
  const random = (() => { let state = 7; return () => (state = (state * 16807) % 2147483647) / 2147483647; })();
  const count = 600;
  const made = (value) => Float64Array.from({ length: count }, value);
  const data = {
    x: made((_, row) => (row === 5 ? NaN : random())), y: made(random), size: new Float32Array(count).fill(size),
    look: Uint8Array.from({ length: count }, (_, row) => Math.floor((row * LOOKS.all.length) / count)),
  };
  const looks = Array.from(data.look, (code) => LOOKS.all[code]);
  Object.assign(data, { colour: looks.map((look) => look.colour), marker: looks.map((look) => look.marker) });
  const where = { x: { field: "x" }, y: { field: "y" }, size: { field: "size" }, line_color: null };
  const bokehs = (alpha) => new Bokeh.Scatter({
    ...where, fill_alpha: alpha, marker: { field: "marker" }, fill_color: { field: "colour" },
  });
  const ours = (alpha) => new Points({ ...where, fill_alpha: alpha, fill_color: "#000000" });
  const pictures = [];
  for (const glyph of [bokehs, ours]) {
    const place = document.createElement("div");
    document.querySelector(".page:not([hidden])").append(place);
    const figure = Bokeh.Plotting.figure({
      width: 340, height: 300, toolbar_location: null, tools: "", x_axis_type: null, y_axis_type: null,
      background_fill_color: null, border_fill_color: null, outline_line_color: null,
    });
    const source = new Bokeh.ColumnDataSource({ data });
    figure.add_glyph(glyph(0.75), source, { nonselection_glyph: glyph(0.12) });
    source.selected.indices = selected;
    const page = new Bokeh.Document();
    page.add_root(figure);
    const views = await Bokeh.embed.add_document_standalone(page, place);
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)));
    pictures.push([...views][0].canvas_view.primary.canvas.toDataURL("image/png"));
    place.remove();
  }
  return pictures;
}"""


def picture(uri: str) -> np.ndarray:
    """Return the pixels of a canvas, multiplied by their alpha."""
    rgba = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))), float)
    return np.dstack([rgba[..., :3] * rgba[..., 3:] / 255, rgba[..., 3]])


@pytest.mark.parametrize("screen", [{"viewport": WIDE}, {"viewport": PHONE, "device_scale_factor": 2.5}])
def test_points_look_as_bokeh_draws_them(open_page, small_report, screen):
    opened = open_page(small_report, "#embeddings", **screen)
    opened.page.wait_for_selector(".browser[data-ready]", state="attached")
    for size, selected in ((3, []), (8, []), (8, [10, 300, 301])):
        theirs, ours = (picture(uri) for uri in opened.page.evaluate(DRAWN, [size, selected]))
        drawn = theirs[..., 3] > 0
        assert 4000 < drawn.sum() < 0.8 * drawn.size
        away = np.abs(ours - theirs).max(axis=2)
        assert away[drawn].mean() < 14, (size, selected)  # of 255; a shift of half a pixel gives more
        assert ours.sum() == pytest.approx(theirs.sum(), rel=0.01)
    assert opened.errors == []

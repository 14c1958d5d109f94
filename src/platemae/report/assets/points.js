// A scatter glyph for tens of thousands of points. Bokeh draws a path for each point at each change, which without a
// GPU takes seconds; here Bokeh draws each look once, at some places within a pixel, and the points are copies of that.
// Where points lie, what is under the pointer and what is selected stays Bokeh's own. The column "look" of the source
// says which of LOOKS a point has.
const { LOOKS, Points } = (() => {
  "use strict";
  const GREY = "#A9AFB9";
  const looks = [
    ["#0072B2", "circle", "●"], ["#E69F00", "square", "■"], ["#009E73", "triangle", "▲"], ["#CC79A7", "diamond", "◆"],
    ["#56B4E9", "inverted_triangle", "▼"], ["#D55E00", "star", "★"], ["#000000", "hex", "⬢"], ["#F0E442", "square_pin", "✦"],
    [GREY, "circle", "●"], ["#000000", "star", "★"], ["#0072B2", "square", "■"], ["#D55E00", "triangle", "▲"],
  ].map(([colour, marker, sign]) => ({ colour, marker, sign }));
  const LOOKS = { all: looks, groups: 8, grey: 8, controls: { treatment: 8, empty: 9, negcon: 10, poscon: 11 } };
  const PHASES = 4; // places of a point within a pixel, along each axis

  const canvas = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

  class PointsView extends Bokeh.Scatter.prototype.default_view {
    // A marker in one of its places within a pixel: which pixels it covers, around its own, and how much of each.
    _mask(marker, phase, ratio) {
      const key = `${marker} ${phase} ${ratio} ${this.size.get(0)} ${this.fill_alpha.get(0)}`;
      this._masks ??= new Map();
      if (!this._masks.has(key)) this._masks.set(key, this._drawn(marker, phase, ratio));
      return this._masks.get(key);
    }

    _drawn(marker, phase, ratio) {
      const reach = Math.ceil(this.size.get(0) * ratio) + 1;
      const edge = 2 * reach + 1;
      const context = canvas(edge, edge).getContext("2d");
      const place = (step) => (reach + (step + 0.5) / PHASES) / ratio;
      context.scale(ratio, ratio);
      const [sx, sy] = [[place(phase % PHASES)], [place(Math.floor(phase / PHASES))]];
      super._paint(context, [0], { sx, sy, marker: { get: () => marker } });
      const pixels = context.getImageData(0, 0, edge, edge).data;
      const covered = [...pixels.keys()].filter((at) => at % 4 === 3 && pixels[at]).map((at) => (at - 3) / 4);
      return {
        dx: Int32Array.from(covered, (at) => (at % edge) - reach), dy: Int32Array.from(covered, (at) => Math.floor(at / edge) - reach),
        cover: Float64Array.from(covered, (at) => pixels[4 * at + 3] / 255),
      };
    }

    _paint(context, indices) {
      const { a: ratio, e: left, f: top } = context.getTransform();
      const { width, height } = context.canvas;
      const image = context.createImageData(width, height);
      const codes = this.renderer.model.data_source.data.look;
      const colours = looks.map(({ colour }) => [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16)));
      const masks = looks.map(() => []);
      for (const row of indices) {
        const [x, y] = [ratio * this.sx[row] + left, ratio * this.sy[row] + top];
        if (!Number.isFinite(x + y)) continue;
        const [column, line] = [Math.floor(x), Math.floor(y)];
        const phase = Math.floor((x - column) * PHASES) + PHASES * Math.floor((y - line) * PHASES);
        const look = codes[row];
        masks[look][phase] ??= this._mask(looks[look].marker, phase, ratio);
        blend(image, column, line, masks[look][phase], colours[look]);
      }
      const layer = canvas(width, height);
      layer.getContext("2d").putImageData(image, 0, 0);
      context.save();
      context.resetTransform();
      context.drawImage(layer, 0, 0);
      context.restore();
    }
  }

  // Lays a mask in a colour over the pixels of an image, as a canvas does (source over, not multiplied by alpha).
  function blend({ data, width, height }, column, line, { dx, dy, cover }, [red, green, blue]) {
    for (let place = 0; place < cover.length; place += 1) {
      const [x, y] = [column + dx[place], line + dy[place]];
      if (x < 0 || y < 0 || x >= width || y >= height) continue;
      const at = 4 * (y * width + x);
      const over = cover[place];
      const under = (data[at + 3] / 255) * (1 - over);
      const whole = over + under;
      data[at] = (red * over + data[at] * under) / whole;
      data[at + 1] = (green * over + data[at + 1] * under) / whole;
      data[at + 2] = (blue * over + data[at + 2] * under) / whole;
      data[at + 3] = 255 * whole;
    }
  }

  class Points extends Bokeh.Scatter {}
  Points.prototype.default_view = PointsView;
  return { LOOKS, Points };
})();

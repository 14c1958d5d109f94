// The embeddings browser: two linked scatter plots by Bokeh, a chooser of colours, a search, and the table of what is
// selected. It starts when its page is first shown. Texts are written with textContent alone, and arrays come as base64.
(() => {
  "use strict";
  const FOUND = "#D55E00";
  const LISTED = 100; // rows in the table
  const OFFERED = 500; // names in a menu, and below the search
  const MISSING = 65535;

  const element = (tag, text = "", attributes = {}) => {
    const made = document.createElement(tag);
    if (text !== "") made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  function bytes(text) { // a plain loop takes a tenth of Uint8Array.from
    const binary = atob(text);
    const found = new Uint8Array(binary.length);
    for (let place = 0; place < binary.length; place += 1) found[place] = binary.charCodeAt(place);
    return found.buffer;
  }
  const natural = new Intl.Collator(undefined, { numeric: true }).compare;
  const number = (value) => value.toLocaleString("en");

  function coordinates(axis) {
    const steps = new Uint16Array(bytes(axis.steps));
    const unit = (axis.high - axis.low) / (MISSING - 1);
    return (row) => (steps[row] === MISSING ? NaN : axis.low + steps[row] * unit);
  }

  // A table of rows: columns of texts, and which picture each row has.
  function table(raw) {
    const columns = raw.columns.map(({ name, values, codes, wide }) => ({
      name, values, codes: wide ? new Uint32Array(bytes(codes)) : new Uint16Array(bytes(codes)),
    }));
    return { rows: raw.rows, columns, pictures: new Int32Array(bytes(raw.pictures)) };
  }

  // Number of a picture -> its sheet and place there, found when the first is wanted
  function album({ sheets, edge, across }) {
    let places = null;
    const placed = () => new Map(sheets.flatMap((sheet) => {
      const numbers = new Int32Array(bytes(sheet.pictures));
      const size = [Math.min(across, numbers.length), Math.ceil(numbers.length / across)];
      return Array.from(numbers, (picture, place) => [picture, { sheet, size, place }]);
    }));
    return (picture, shown) => {
      places ??= placed();
      const found = places.get(picture);
      if (!found) return null;
      const frame = element("span", "", { class: "thumbnail", role: "img", "aria-label": "thumbnail" });
      const [x, y] = [found.place % across, Math.floor(found.place / across)];
      const scale = shown / edge;
      Object.assign(frame.style, {
        width: `${shown}px`, height: `${shown}px`, backgroundImage: `url("${found.sheet.source}")`,
        backgroundSize: `${found.size[0] * edge * scale}px ${found.size[1] * edge * scale}px`,
        backgroundPosition: `${-x * shown}px ${-y * shown}px`,
      });
      return frame;
    };
  }

  function start(root) {
    const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    const menus = Object.fromEntries(["model", "method", "correction", "colour", "group", "drag"].map((n) => [n, part(n)]));
    const tables = data.tables.map(table);
    const thumbnail = album(data.pictures);
    const base = new Bokeh.ColumnDataSource({ data: {} });
    const marked = new Bokeh.ColumnDataSource({ data: {} });
    let now = null; // what is drawn: the model, its table, the order of drawing and each row's place in it
    const hint = part("status").textContent; // how to select, shown while nothing is
    const none = { rows: [], found: [], what: "", group: "" };
    let held = { table: null, ...none }; // the selection, which outlives a new colour or method; group is what is marked
    let drawing = false;

    const option = (menu, value, text = value) => menu.append(element("option", text, { value }));
    const fill = (menu, values, first = "") => { // keeps the choice where the new list has it
      const before = menu.selectedOptions.length ? menu.selectedOptions[0].textContent : first;
      menu.replaceChildren();
      values.forEach(([value, text]) => option(menu, value, text));
      const kept = values.find(([, text]) => text === before) || values.find(([, text]) => text === first);
      if (kept) menu.value = kept[0];
    };
    const column = (name) => now.table.columns.find((entry) => entry.name === name);
    const text = (entry, row) => entry.values[entry.codes[row]];
    const units = (count) => `${number(count)} ${data.unit}${count === 1 ? "" : "s"}`;

    // -- plots ------------------------------------------------------------------------------------------------------
    const height = root.clientWidth < 500 ? 330 : 430; // on a phone about as high as wide
    const figures = [["xa", "ya"], ["xb", "yb"]].map(([x, y]) => {
      const figure = Bokeh.Plotting.figure({
        tools: "pan,wheel_zoom,box_select,lasso_select,tap,reset", toolbar_location: null, sizing_mode: "stretch_width",
        height, match_aspect: false, title: " ", lod_threshold: null,
      });
      const glyph = (alpha) => new Points({
        x: { field: x }, y: { field: y }, size: { field: "size" }, fill_color: "#000000", line_color: null, fill_alpha: alpha,
      });
      const points = figure.add_glyph(glyph(0.75), base, { nonselection_glyph: glyph(0.12) });
      figure.scatter({ field: x }, { field: y }, {
        source: marked, size: 10, marker: "circle", fill_color: FOUND, line_color: "#000000", fill_alpha: 0.95,
      });
      figure.add_tools(new Bokeh.HoverTool({ tooltips: null, renderers: [points], callback: (tool, found) => hover(found) }));
      figure.toolbar.active_scroll = null; // the wheel scrolls the page
      for (const axis of [figure.xaxis, figure.yaxis]) {
        Object.assign(axis, { major_label_text_font_size: "0px", major_tick_line_color: null, minor_tick_line_color: null });
      }
      for (const grid of [figure.xgrid, figure.ygrid]) grid.grid_line_color = "#EEF0F3";
      return figure;
    });

    function draw() {
      const model = data.models[Number(menus.model.value)];
      const method = menus.method.value;
      const changed = !now || now.model !== model;
      if (changed) {
        now = { model, table: tables[model.table] };
        fill(menus.correction, model.views.slice(1).map((view, place) => [String(place + 1), view.title]), data.after);
        menus.correction.closest("label").hidden = model.views.length < 2;
        const colours = data.colourings.filter((name) => column(name));
        fill(menus.colour, colours.map((name) => [name, name]));
        part("names").replaceChildren();
      }
      const views = [model.views[0], model.views[Number(menus.correction.value)]].filter(Boolean);
      const look = colouring();
      now.order = look.order;
      now.place = new Int32Array(now.table.rows);
      now.order.forEach((row, place) => { now.place[row] = place; });
      const sorted = (axis) => Float64Array.from(now.order, coordinates(axis));
      const fields = {};
      [["xa", "ya"], ["xb", "yb"]].forEach(([x, y], place) => {
        const view = (views[place] || views[0])[method];
        fields[x] = sorted(view.x);
        fields[y] = sorted(view.y);
        figures[place].xaxis.axis_label = view.axes[0];
        figures[place].yaxis.axis_label = view.axes[1];
        figures[place].title.text = views[place] ? (place ? `after ${views[place].title}` : "before") : "";
      });
      part("plots").children[1].hidden = views.length < 2;
      const size = Math.max(3, Math.min(8, 260 / Math.sqrt(now.table.rows)));
      drawing = true;
      base.selected.indices = [];
      base.data = { ...fields, look: look.codes, size: new Float32Array(now.table.rows).fill(size) };
      drawing = false;
      if (held.table !== now.table) held = { table: now.table, ...none };
      show(held);
      const drawn = now.table.rows < now.model.total ? `${number(now.table.rows)} of ${units(now.model.total)}` : units(now.table.rows);
      const alt = `${method} of ${drawn} of ${model.name}, coloured by ${menus.colour.value}`;
      part("plots").setAttribute("aria-label", alt);
      part("drawn").textContent = `${model.name}: ${drawn} drawn.`;
    }

    // -- colours ----------------------------------------------------------------------------------------------------
    // Few groups have a colour and a marker each; of many, one is marked and the others are grey.
    function colouring() {
      const chosen = column(menus.colour.value);
      const rows = now.table.rows;
      const counts = new Uint32Array(chosen.values.length);
      chosen.codes.forEach((code) => { counts[code] += 1; });
      const names = chosen.values.map((value, code) => code);
      const few = names.length <= LOOKS.groups;
      if (names.length <= OFFERED) names.sort((a, b) => natural(chosen.values[a], chosen.values[b]));
      const looks = chosen.values.map((value, code) => {
        if (!few) return LOOKS.grey;
        const control = chosen.name === "control type" ? LOOKS.controls[value] : undefined;
        return control === undefined ? names.indexOf(code) : control;
      });
      // The largest group is drawn first, so that the controls lie above the treatments.
      const order = Uint32Array.from({ length: rows }, (_, row) => row);
      if (few) order.sort((a, b) => counts[chosen.codes[b]] - counts[chosen.codes[a]] || a - b);
      groups(chosen, names, counts, looks, few);
      return { order, codes: Uint8Array.from(order, (row) => looks[chosen.codes[row]]) };
    }

    function groups(chosen, names, counts, looks, few) {
      const legend = part("legend");
      legend.replaceChildren();
      const label = (code) => chosen.values[code] || "(none)";
      if (few) {
        names.forEach((code) => {
          const entry = element("button", "", { type: "button" });
          const look = LOOKS.all[looks[code]];
          const sign = element("span", look.sign, { "aria-hidden": "true", class: "sign" });
          sign.style.color = look.colour;
          entry.append(sign, element("span", `${label(code)} (${number(counts[code])})`));
          entry.addEventListener("click", () => show({ ...none, rows: rowsOf(chosen, code), what: `${chosen.name} ${label(code)}` }));
          const item = element("li");
          item.append(entry);
          legend.append(item);
        });
      }
      menus.group.closest("label").hidden = few || names.length > OFFERED;
      const key = `${now.model.table}:${chosen.name}`;
      if (!few && names.length <= OFFERED && menus.group.dataset.key !== key) {
        menus.group.dataset.key = key;
        menus.group.replaceChildren();
        held.group = "";
        option(menus.group, "", "none");
        names.forEach((code) => option(menus.group, String(code), `${label(code)} (${number(counts[code])})`));
      }
      if (few) {
        menus.group.dataset.key = "";
        held.group = "";
      }
      const many = `${number(names.length)} groups are more than colours can tell apart: all are grey, and one is marked`;
      const how = names.length > OFFERED ? " by the search below." : ".";
      part("many").textContent = few ? "" : many + how;
    }

    const rowsOf = (entry, code) => {
      const rows = [];
      entry.codes.forEach((here, row) => { if (here === code) rows.push(row); });
      return rows;
    };

    // -- marks, selection, search -----------------------------------------------------------------------------------
    // Selects rows, and puts an orange point on those that were found by name.
    function show({ rows, found, what, group }) {
      const pick = (name) => Float64Array.from(found, (row) => base.data[name][now.place[row]]);
      marked.data = { xa: pick("xa"), ya: pick("ya"), xb: pick("xb"), yb: pick("yb") };
      drawing = true;
      base.selected.indices = rows.map((row) => now.place[row]).sort((a, b) => a - b);
      drawing = false;
      menus.group.value = group;
      held = { table: now.table, rows, found, what, group };
      list();
    }

    // Dragging over the points selects anew: what was found or marked before is so no more.
    function dragged() {
      if (drawing) return;
      show({ ...none, rows: [...base.selected.indices].map((place) => now.order[place]).sort((a, b) => a - b) });
    }

    function list() {
      const { rows } = held;
      const shown = rows.slice(0, LISTED);
      const what = held.what ? `${held.what}: ` : "";
      const more = rows.length > LISTED ? `; the first ${LISTED} are listed, the file has all` : "";
      part("status").textContent = rows.length ? `${what}${units(rows.length)} selected${more}.` : held.what || hint;
      part("save").hidden = part("clear").hidden = part("selected").hidden = !rows.length;
      const body = part("selected").querySelector("tbody");
      body.replaceChildren(...shown.map((row) => {
        const line = element("tr");
        const picture = element("td");
        const image = thumbnail(now.table.pictures[row], 64);
        if (image) picture.append(image);
        line.append(picture, ...now.table.columns.map((entry) => element("td", text(entry, row) || " ")));
        return line;
      }));
      const heads = ["picture", ...now.table.columns.map((entry) => entry.name)];
      part("selected").querySelector("thead tr").replaceChildren(...heads.map((name) => element("th", name, { scope: "col" })));
    }

    // Below the search: names that begin with what is typed.
    function offerNames() {
      const typed = part("search").value.trim().toLowerCase();
      const searched = data.searched.map(column).filter(Boolean);
      const begins = (name) => name !== "" && name.toLowerCase().startsWith(typed);
      const names = [...new Set(searched.flatMap((entry) => entry.values.filter(begins)))];
      if (names.length <= 10 * OFFERED) names.sort(natural);
      part("names").replaceChildren(...names.slice(0, OFFERED).map((name) => element("option", "", { value: name })));
    }

    // An exact name first, in any column; else what begins so; else what holds it.
    function search() {
      const wanted = part("search").value.trim().toLowerCase();
      const columns = data.searched.map(column).filter(Boolean);
      const tests = [(v) => v === wanted, (v) => v.startsWith(wanted), (v) => v.includes(wanted)];
      let rows = [];
      for (const test of wanted ? tests : []) {
        const hits = columns.map((entry) => entry.values.map((value) => value !== "" && test(value.toLowerCase())));
        for (let row = 0; row < now.table.rows; row += 1) {
          if (columns.some((entry, place) => hits[place][entry.codes[row]])) rows.push(row);
        }
        if (rows.length) break;
      }
      const typed = part("search").value.trim();
      const missed = `No ${columns.map((entry) => entry.name).join(", ").replace(/, ([^,]*)$/, " or $1")} here holds “${typed}”.`;
      show({ ...none, rows, found: rows, what: rows.length || !typed ? typed : missed });
    }

    function save() {
      // As report/spreadsheet.py: text that a spreadsheet would run gets an apostrophe, numbers stay.
      const formula = (value) => /^'*[=+\-@\t\r\n]/.test(value) && !/^[+-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?$/.test(value);
      const quoted = (value) => `"${formula(value) ? "'" : ""}${value.replaceAll('"', '""')}"`;
      const lines = held.rows.map((row) => now.table.columns.map((entry) => quoted(text(entry, row))).join(","));
      const head = now.table.columns.map((entry) => quoted(entry.name)).join(",");
      const link = element("a", "", { download: `selected-${data.unit}s.csv` });
      link.href = URL.createObjectURL(new Blob([[head, ...lines].join("\n"), "\n"], { type: "text/csv" }));
      link.click();
      URL.revokeObjectURL(link.href);
    }

    // -- hover ------------------------------------------------------------------------------------------------------
    const tip = part("tip");
    let pointer = [0, 0];
    function hover(found) {
      const indices = found.index ? found.index.indices : [];
      tip.hidden = !indices.length;
      if (!indices.length) return;
      const row = now.order[indices[indices.length - 1]]; // the one drawn last lies on top
      const facts = element("dl");
      now.table.columns.forEach((entry) => {
        if (text(entry, row)) facts.append(element("dt", entry.name), element("dd", text(entry, row)));
      });
      const image = thumbnail(now.table.pictures[row], 128);
      tip.replaceChildren(...(image ? [image] : []), facts);
      const box = root.getBoundingClientRect();
      const left = Math.min(pointer[0] - box.left + 16, box.width - tip.offsetWidth - 4);
      Object.assign(tip.style, { left: `${Math.max(0, left)}px`, top: `${pointer[1] - box.top + 16}px` });
    }
    part("plots").addEventListener("pointermove", (event) => { pointer = [event.clientX, event.clientY]; }, true);
    part("plots").addEventListener("pointerleave", () => { tip.hidden = true; });

    // -- start ------------------------------------------------------------------------------------------------------
    const drags = { lasso: "LassoSelectTool", box: "BoxSelectTool", move: "PanTool" }; // without one the page scrolls
    if (matchMedia("(any-pointer: coarse)").matches) menus.drag.append(element("option", "scrolls the page", { value: "page" }));
    if (matchMedia("(pointer: coarse)").matches) menus.drag.value = "page";
    function drag() {
      figures.forEach((figure) => {
        figure.toolbar.active_drag = figure.toolbar.tools.find((tool) => tool.type === drags[menus.drag.value]) || null;
      });
    }
    function zoom(factor) {
      figures.forEach((figure) => [figure.x_range, figure.y_range].forEach((range) => {
        const [middle, half] = [(range.start + range.end) / 2, ((range.end - range.start) / 2) * factor];
        range.setv({ start: middle - half, end: middle + half });
      }));
    }

    fill(menus.model, data.models.map((model, place) => [String(place), model.name]));
    menus.model.closest("label").hidden = data.models.length < 2;
    draw();
    drag();
    function reset() {
      drawing = true; // a reset of the ranges clears the selection, too
      figures.forEach((figure) => figure.reset.emit());
      drawing = false;
      show(held);
    }
    for (const name of ["model", "method", "correction"]) menus[name].addEventListener("change", () => { draw(); reset(); });
    menus.colour.addEventListener("change", draw);
    menus.group.addEventListener("change", () => {
      const { value, selectedOptions } = menus.group;
      const rows = value === "" ? [] : rowsOf(column(menus.colour.value), Number(value));
      show({ rows, found: rows, what: value === "" ? "" : selectedOptions[0].textContent, group: value });
    });
    menus.drag.addEventListener("change", drag);
    part("find").addEventListener("submit", (event) => { event.preventDefault(); search(); });
    part("search").addEventListener("change", search);
    for (const event of ["focus", "input"]) part("search").addEventListener(event, offerNames);
    part("clear").addEventListener("click", () => { part("search").value = ""; show(none); });
    part("save").addEventListener("click", save);
    part("in").addEventListener("click", () => zoom(0.6));
    part("out").addEventListener("click", () => zoom(1 / 0.6));
    part("reset").addEventListener("click", reset);
    base.selected.properties.indices.change.connect(dragged);
    const page = new Bokeh.Document();
    figures.forEach((figure) => page.add_root(figure));
    root.classList.add("started");
    return Bokeh.embed.add_document_standalone(page, part("plots"), [...part("plots").children]);
  }

  document.querySelectorAll(".browser").forEach((root) => {
    const watch = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      // Ready when the frame with both plots has been made.
      const ready = () => { root.dataset.ready = String(Math.round(performance.now())); };
      start(root).then(() => requestAnimationFrame(() => setTimeout(ready)));
    });
    watch.observe(root);
  });
})();

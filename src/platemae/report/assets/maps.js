// The maps: a heatmap of cosines in clustered order that tells what lies under the pointer, and the search for the
// nearest rows. Drawn on plain canvases; texts are written with textContent alone.
(() => {
  "use strict";
  const OFFERED = 5000; // names that the search box suggests
  const NAMED = 80; // rows whose names stand beside the heatmap
  const ROW = 11; // pixels of a named row on a wide screen; below 8 names cannot be read
  const element = (tag, text, attributes = {}) => {
    const made = document.createElement(tag);
    made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const natural = new Intl.Collator(undefined, { numeric: true }).compare;

  function start(root) {
    const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    const colours = new Uint8Array(bytes(data.colours));
    const round = (value) => (value * data.step).toFixed(3).replace("-", "−");
    let now = null;

    function paint(canvas, width, height, value) {
      Object.assign(canvas, { width, height });
      const context = canvas.getContext("2d");
      const image = context.createImageData(width, height);
      for (let place = 0; place < width * height; place += 1) {
        const step = Math.round(Math.max(0, Math.min(1, value(place))) * 255);
        image.data.set([colours[3 * step], colours[3 * step + 1], colours[3 * step + 2], 255], 4 * place);
      }
      context.putImageData(image, 0, 0);
    }

    function draw() {
      const map = data.maps[Number(part("map").value)];
      now = {
        map, names: data.names[map.names], order: new Uint32Array(bytes(map.order)), cosines: new Int16Array(bytes(map.cosines)),
        searchable: new Uint32Array(bytes(map.searchable)), near: new Uint32Array(bytes(map.near)),
        nearCosines: new Int16Array(bytes(map.near_cosines)),
      };
      const size = now.order.length;
      paint(part("heatmap"), size, size, (place) => 0.5 + (now.cosines[place] * data.step) / map.limit / 2);
      part("heatmap").setAttribute("aria-label", `Heatmap of the cosines between ${size} rows of the map ${map.title}; arrow keys move, Enter looks the row up`);
      part("labels").replaceChildren(...(size > NAMED ? [] : Array.from(now.order, (row) => element("span", now.names[row]))));
      part("cross").hidden = true;
      now.cell = [0, 0];
      fit();
      paint(part("scale"), 256, 1, (place) => place / 255);
      part("low").textContent = `−${map.limit.toFixed(2)}`;
      part("high").textContent = map.limit.toFixed(2);
      part("file").href = `files/${encodeURIComponent(map.file)}`;
      const names = Array.from(now.searchable, (row) => now.names[row]).sort(natural);
      part("names").replaceChildren(...names.slice(0, OFFERED).map((name) => element("option", "", { value: name })));
      if (part("search").value) look();
    }

    // Names stand beside the rows where they can be read there.
    function fit() {
      const size = now.order.length;
      const room = root.clientWidth - 160; // for the longest name
      const side = Math.min(room, Math.max(608, ROW * size));
      part("labels").hidden = size > NAMED || side / size < 8;
      part("square").style.maxWidth = part("labels").hidden ? "" : `${side + 160}px`;
      part("labels").style.fontSize = `${Math.min(13, (0.9 * side) / size)}px`;
    }

    function read([i, j]) {
      const size = now.order.length;
      const [a, b] = [now.names[now.order[i]], now.names[now.order[j]]];
      now.cell = [i, j];
      part("readout").textContent = `${a} and ${b}: cosine ${round(now.cosines[i * size + j])}`;
      const share = (count) => `${(100 * count) / size}%`;
      Object.assign(part("cross").style, { left: share(j), top: share(i), width: share(1), height: share(1) });
      part("cross").hidden = false;
    }

    function search(row) {
      part("search").value = now.names[now.order[row]];
      look();
    }

    function move(event) {
      const [i, j] = now.cell;
      const last = now.order.length - 1;
      const steps = { ArrowUp: [i - 1, j], ArrowDown: [i + 1, j], ArrowLeft: [i, j - 1], ArrowRight: [i, j + 1], Home: [i, 0], End: [i, last] };
      const to = steps[event.key];
      if (event.key === "Enter") search(i);
      if (!to) return;
      event.preventDefault();
      read(to.map((place) => Math.max(0, Math.min(last, place))));
    }

    function cellAt(event) {
      const box = part("heatmap").getBoundingClientRect();
      const size = now.order.length;
      const place = (at, length) => Math.max(0, Math.min(size - 1, Math.floor((at / length) * size)));
      return [place(event.clientY - box.top, box.height), place(event.clientX - box.left, box.width)];
    }

    function look() {
      const wanted = part("search").value.trim();
      const lower = wanted.toLowerCase();
      const rows = [...now.searchable];
      const row = [(name) => name === wanted, (name) => name.toLowerCase() === lower, (name) => name.toLowerCase().startsWith(lower)]
        .map((test) => rows.findIndex((place) => test(now.names[place]))).find((place) => place >= 0);
      const found = wanted !== "" && row !== undefined;
      part("nearest").hidden = !found;
      if (!found) {
        const where = now.searchable.length < now.names.length ? "on this page; the CSV has all rows" : "in this map";
        part("status").textContent = wanted ? `${wanted} is not ${where}.` : "";
        return;
      }
      const count = now.map.neighbours;
      const lines = Array.from({ length: count }, (_, rank) => {
        const line = element("tr", "");
        const place = row * count + rank;
        line.append(
          element("td", String(rank + 1), { class: "number" }), element("td", now.names[now.near[place]]),
          element("td", round(now.nearCosines[place]), { class: "number" }),
        );
        return line;
      });
      part("nearest").querySelector("tbody").replaceChildren(...lines);
      part("status").textContent = `The ${count} rows nearest to ${now.names[rows[row]]} in ${now.map.title}:`;
    }

    data.maps.forEach((map, place) => part("map").append(element("option", map.title, { value: String(place) })));
    part("map").value = String(data.first);
    part("map").addEventListener("change", draw);
    part("heatmap").addEventListener("pointermove", (event) => read(cellAt(event)));
    part("heatmap").addEventListener("click", (event) => search(cellAt(event)[0]));
    part("heatmap").addEventListener("keydown", move);
    window.addEventListener("resize", fit);
    part("find").addEventListener("submit", (event) => { event.preventDefault(); look(); });
    part("search").addEventListener("change", look);
    draw();
    root.dataset.ready = String(Math.round(performance.now()));
  }

  document.querySelectorAll(".map").forEach((root) => {
    const watch = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      start(root);
    });
    watch.observe(root);
  });
})();

// The inspection's parts and what is chosen in them: one token, one layer, one head. All numbers stand in #data.
"use strict";
(async () => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const T = data.tokens.length, weights = await unpack(data.attention.weights);
  const answerOf = new Map(data.answers.map((place, answer) => [place, answer]));
  const chosen = { token: mostSurprising(), layer: 0, head: 0, lensLayer: data.layers };
  const byId = (id) => document.getElementById(id);

  function make(tag, kind, text) {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function mostSurprising() {
    if (!data.asks) return Math.max(0, data.special.indexOf(0));
    const { bits } = data.predictions;
    return data.answers[bits.indexOf(Math.max(...bits.map((one) => one ?? 0)))] ?? data.answers[0];
  }

  // a byte q stands for the weight (q / 255)²; a causal query has keys up to itself
  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }
  function root(layer, head, query, key) { // square root of the weight, 0 to 255
    const map = layer * data.heads + head;
    if (!data.causal) return weights[(map * T + query) * T + key];
    return key > query ? 0 : weights[map * T * (T + 1) / 2 + query * (query + 1) / 2 + key];
  }
  const weight = (layer, head, query, key) => (root(layer, head, query, key) / 255) ** 2;

  const label = (id) => data.labels[id];
  const name = (id) => label(id).replace(/ /g, "␣").replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/\r/g, "␍") || "∅";
  const flowing = (id) => label(id).replace(/\r?\n/g, "↵\n").replace(/\r/g, "␍");
  const percent = (p) => p === null ? "?" : p >= .9995 ? "100 %" : p >= .0995 ? `${(100 * p).toFixed(0)} %` : p >= .001 ? `${(100 * p).toPrecision(2)} %` : p > 0 ? `${(100 * p).toExponential(0)} %` : "0 %";

  function choose(change) {
    Object.assign(chosen, change);
    paintTokens(); paintLens(); paintHead(); paintLooked();
  }

  // items in a row or grid, of which the chosen one is in the tab order and arrows move
  function arrows(box, columns, items, pick) {
    box.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
      const at = items.indexOf(document.activeElement);
      if (!step || at < 0 || !items[at + step]) return;
      event.preventDefault();
      pick(at + step);
      items[at + step].focus();
    });
  }
  function mark(items, on) {
    items.forEach((item, at) => {
      item.classList.toggle("on", at === on);
      item.tabIndex = at === on ? 0 : -1;
      if (item.getAttribute("role")) item.setAttribute("aria-selected", at === on);
    });
  }

  // the text, a span a token
  function flow(box) {
    const spans = data.tokens.map((id, place) => {
      const span = make("span", data.special[place] ? "special" : "", flowing(id));
      span.setAttribute("role", "option");
      span.addEventListener("click", () => choose({ token: place }));
      box.append(span);
      return span;
    });
    box.setAttribute("role", "listbox");
    arrows(box, spans.length, spans, (place) => choose({ token: place }));
    return spans;
  }

  function guesses(ids, shares, truth, truthShare) {
    const box = make("div", "guesses"), seen = ids.includes(truth);
    const rows = ids.map((id, at) => [id, shares[at]]);
    if (!seen) rows.push([truth, truthShare]);
    for (const [id, share] of rows) {
      const bar = make("div", "bar");
      bar.style.width = `${100 * (share ?? 0)}%`;
      box.append(make("div", id === truth ? "token true" : "token", name(id)), bar, make("div", "number", percent(share)));
    }
    return box;
  }

  // token probabilities
  const tokenSpans = data.asks ? flow(byId("flow")) : [];
  tokenSpans.forEach((span, place) => {
    const answer = answerOf.get(place);
    if (answer === undefined) { span.title = "not predicted: nothing stands before it, or it isn't of the text"; return; }
    const bits = data.predictions.bits[answer];
    span.style.setProperty("--much", `${55 * Math.min((bits ?? 12) / 12, 1)}%`);
    span.title = bits === null ? "no finite number" : `${bits.toFixed(2)} bits, p ${percent(2 ** -bits)}`;
  });
  function paintTokens() {
    if (!data.asks) return;
    mark(tokenSpans, chosen.token);
    const box = byId("chosen"), answer = answerOf.get(chosen.token), id = data.tokens[chosen.token];
    const line = make("p");
    line.append(make("b", "token", name(id)));
    const { bits, rank, ids, top } = data.predictions;
    if (answer === undefined || bits[answer] === null) {
      line.append(answer === undefined ? " is not predicted." : ": its probability is no finite number.");
      box.replaceChildren(line);
      return;
    }
    const share = 2 ** -bits[answer];
    line.append(`: ${bits[answer].toFixed(2)} bits, probability ${percent(share)}, ` +
      `rank ${rank[answer].toLocaleString("en")}.`);
    box.replaceChildren(line, guesses(ids[answer], top[answer], id, share));
  }

  // logit lens
  const lensCells = [], lensHeads = [];
  if (data.lens) {
    const table = byId("lens-table"), head = make("tr"), body = make("tbody");
    head.append(make("th", "", "layer"));
    for (const place of data.answers) {
      const cell = make("th", "", name(data.tokens[place]));
      cell.title = label(data.tokens[place]);
      cell.addEventListener("click", () => choose({ token: place }));
      lensHeads.push(cell);
      head.append(cell);
    }
    data.lens.ids.forEach((answers, row) => {
      const line = make("tr");
      line.append(make("th", "", row ? String(row - 1) : "emb"));
      lensCells.push(answers.map((ids, answer) => {
        const place = data.answers[answer], hit = ids[0] === data.tokens[place];
        const cell = make("td", hit ? "hit" : "", name(ids[0]));
        const truth = data.lens.truth[row][answer];
        if (truth !== null) cell.style.setProperty("--much", `${60 * Math.sqrt(2 ** truth)}%`);
        cell.addEventListener("click", () => choose({ token: place, lensLayer: row }));
        line.append(cell);
        return cell;
      }));
      body.append(line);
    });
    const top = make("thead");
    top.append(head);
    table.append(top, body);
    arrows(table, data.answers.length, lensCells.flat(), (at) =>
      choose({ token: data.answers[at % data.answers.length], lensLayer: Math.floor(at / data.answers.length) }));
  }
  function paintLens() {
    if (!data.lens) return;
    const answer = answerOf.get(chosen.token), row = chosen.lensLayer;
    mark(lensCells.flat(), answer === undefined ? -1 : row * data.answers.length + answer);
    mark(lensHeads, answer ?? -1);
    if (answer !== undefined) { // the box alone scrolls, not the page
      const box = byId("lens-table").parentElement, cell = lensHeads[answer];
      if (cell.offsetLeft < box.scrollLeft + 50 || cell.offsetLeft + cell.offsetWidth > box.scrollLeft + box.clientWidth) {
        box.scrollLeft = cell.offsetLeft - box.clientWidth / 2;
      }
    }
    const box = byId("lens-chosen");
    if (answer === undefined) { box.replaceChildren(make("p", "soft", "Choose a cell.")); return; }
    const truth = data.lens.truth[row][answer], share = truth === null ? null : 2 ** truth;
    const line = make("p", "", `${row ? `Behind layer ${row - 1}` : "At the embedding"}, in place of `);
    line.append(make("b", "token", name(data.tokens[chosen.token])), `, which gets ${percent(share)}:`);
    box.replaceChildren(line, guesses(data.lens.ids[row][answer], data.lens.top[row][answer], data.tokens[chosen.token], share));
  }

  // attention
  function colours() {
    const style = getComputedStyle(document.documentElement);
    const read = (property) => style.getPropertyValue(property).trim().match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
    return [read("--card"), read("--map")];
  }
  // a map of size × size cells, each the largest weight in it: a mean would wash thin lines out
  function picture(layer, head, size) {
    const most = new Uint8Array(size * size), [from, to] = palette, image = new ImageData(size, size);
    for (let query = 0; query < T; query++) {
      const row = Math.floor(query * size / T) * size;
      for (let key = 0; key < (data.causal ? query + 1 : T); key++) {
        const at = row + Math.floor(key * size / T), share = root(layer, head, query, key);
        if (share > most[at]) most[at] = share;
      }
    }
    most.forEach((share, at) => {
      for (let channel = 0; channel < 3; channel++) image.data[4 * at + channel] = from[channel] + share / 255 * (to[channel] - from[channel]);
      image.data[4 * at + 3] = data.causal && at % size > Math.floor(at / size) ? 0 : 255;
    });
    const canvas = make("canvas");
    canvas.width = canvas.height = size;
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }
  const SMALL = 92; // cells of a small map at most
  let palette;
  const heads = byId("heads"), small = [];
  heads.style.setProperty("--count", data.heads);
  heads.append(make("div", "row top"));
  for (let head = 0; head < data.heads; head++) heads.append(make("div", "row top", String(head)));
  for (let layer = 0; layer < data.layers; layer++) {
    heads.append(make("div", "row", String(layer)));
    for (let head = 0; head < data.heads; head++) {
      const canvas = make("canvas");
      canvas.width = canvas.height = SMALL;
      canvas.title = `layer ${layer}, head ${head}`;
      canvas.setAttribute("role", "option");
      canvas.setAttribute("aria-label", canvas.title);
      canvas.addEventListener("click", () => choose({ layer, head }));
      heads.append(canvas);
      small.push(canvas);
    }
  }
  const pickHead = (at) => choose({ layer: Math.floor(at / data.heads), head: at % data.heads });
  arrows(heads, data.heads, small, pickHead);
  function paintSmall() {
    small.forEach((canvas, at) => {
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, SMALL, SMALL);
      context.imageSmoothingEnabled = false;
      context.drawImage(picture(Math.floor(at / data.heads), at % data.heads, Math.min(T, SMALL)), 0, 0, SMALL, SMALL);
    });
  }
  const map = byId("map"), CELL = Math.max(2, Math.floor(1080 / T));
  map.width = map.height = CELL * T;
  function paintHead() {
    mark(small, chosen.layer * data.heads + chosen.head);
    const { layer, head, token } = chosen, context = map.getContext("2d");
    context.clearRect(0, 0, map.width, map.height);
    context.imageSmoothingEnabled = false;
    context.drawImage(picture(layer, head, T), 0, 0, map.width, map.height);
    context.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--second");
    context.lineWidth = 3;
    context.strokeRect(1.5, token * CELL + .5, map.width - 3, CELL - 1);
    byId("head-name").textContent = `Layer ${layer}, head ${head}`;
    const share = (kind) => percent(data.attention[kind][layer][head]);
    byId("head-shares").textContent = `On average ${share("first")} of the weight lies on the first token, ${share("previous")} on the one before, ${share("self")} on the token itself.`;
    map.setAttribute("aria-label", `attention of layer ${layer}, head ${head}; arrows move the row`);
  }
  const spans = flow(byId("looked"));
  function paintLooked() {
    const { layer, head, token } = chosen;
    mark(spans, token);
    spans.forEach((span, place) => {
      const p = weight(layer, head, token, place);
      span.style.setProperty("--shade", "var(--accent)");
      span.style.setProperty("--much", `${60 * Math.sqrt(p)}%`);
      span.classList.toggle("mute", data.causal && place > token);
      span.title = percent(p);
    });
    read(token);
  }
  function read(query, key) {
    const { layer, head } = chosen, line = byId("map-read");
    const strongest = [...Array(T).keys()].sort((a, b) => weight(layer, head, query, b) - weight(layer, head, query, a)).slice(0, 4).filter((place) => weight(layer, head, query, place) > 0);
    const places = key === undefined ? strongest : [key];
    line.replaceChildren(make("b", "token", name(data.tokens[query])), key === undefined ? " looks at " : " gives ");
    places.forEach((place, at) => line.append(at ? ", " : "", make("span", "token", name(data.tokens[place])), ` ${percent(weight(layer, head, query, place))}`));
  }
  function cell(event) {
    const box = map.getBoundingClientRect(), at = (offset, size) => Math.min(T - 1, Math.max(0, Math.floor(offset / size * T)));
    return [at(event.clientY - box.top, box.height), at(event.clientX - box.left, box.width)];
  }
  map.addEventListener("mousemove", (event) => read(...cell(event)));
  map.addEventListener("mouseleave", () => read(chosen.token));
  map.addEventListener("click", (event) => choose({ token: cell(event)[0] }));
  map.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || chosen.token + step < 0 || chosen.token + step >= T) return;
    event.preventDefault();
    choose({ token: chosen.token + step });
  });
  function repaint() { palette = colours(); paintSmall(); choose({}); }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  repaint();
})();

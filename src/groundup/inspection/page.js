// The inspection's parts and what is chosen in them: one token, one layer, one head. All numbers stand in #data.
"use strict";
(async () => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const T = data.tokens.length, weights = await unpack(data.attention.weights);
  const answerOf = new Map(data.answers.map((place, answer) => [place, answer]));
  const chosen = { token: mostTelling(), layer: 0, head: 0, lensLayer: data.layers };
  const byId = (id) => document.getElementById(id);

  function make(tag, kind, text) {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function mostTelling() {
    if (!data.asks && data.pooled && data.pooled.share) {
      const shares = data.pooled.share.map((share, place) => data.special[place] ? -1 : share ?? -1);
      return shares.indexOf(Math.max(...shares));
    }
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
  // as a person writes them: two digits where they say something, and never 3e-2 %
  const percent = (p) => p === null ? "?" : (p >= .9995 ? "100" : p >= .0995 ? (100 * p).toFixed(0)
    : p >= .001 ? (100 * p).toPrecision(2) : p >= 5e-5 ? (100 * p).toFixed(2) : p >= 1e-5 ? (100 * p).toFixed(3)
    : p > 0 ? "< 0.001" : "0") + "\u00a0%";

  function choose(change) {
    Object.assign(chosen, change);
    paintTokens(); paintLens(); paintVector(); paintCompared(); paintHead(); paintLooked();
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

  // the vector of the text
  const minus = (text) => text.replace("-", "−");
  function shade(span, value, most, title, colour) {
    span.style.setProperty("--shade", `var(${colour})`);
    span.style.setProperty("--much", `${most > 0 ? 60 * Math.min(Math.abs(value ?? 0) / most, 1) : 0}%`);
    span.classList.toggle("against", value < 0);
    span.title = title;
  }
  const largest = (values) => Math.max(...values.map((value) => Math.abs(value ?? 0)));
  const signed = (p) => p === null ? "?" : p < 0 ? `−${percent(-p)}` : percent(p);
  const vectorSpans = data.pooled ? flow(byId("vector-flow")) : [];
  if (data.pooled) {
    const { share, cosine } = data.pooled, shown = share ?? cosine, most = largest(shown);
    vectorSpans.forEach((span, place) => shade(span, shown[place], most,
      share ? `${signed(share[place])} of the vector` : `cosine ${minus((cosine[place] ?? NaN).toFixed(2))}`, "--accent"));
  }
  function paintVector() {
    if (!data.pooled) return;
    mark(vectorSpans, chosen.token);
    const { share, cosine } = data.pooled, at = chosen.token, line = make("p");
    line.append(make("b", "token", name(data.tokens[at])));
    const near = `cosine with the vector ${cosine[at] === null ? "?" : minus(cosine[at].toFixed(2))}`;
    line.append(share ? `: ${signed(share[at])} of the vector, where an even share is ${percent(1 / T)}; ${near}.` : `: ${near}.`);
    const shown = share ?? cosine, most = largest(shown), box = make("div", "guesses");
    const order = [...Array(T).keys()].sort((a, b) => (shown[b] ?? 0) - (shown[a] ?? 0));
    const first = order.slice(0, 10);
    if (!first.includes(at)) first.push(at);
    for (const place of first) {
      const bar = make("div", "bar");
      bar.style.width = `${most > 0 ? 100 * Math.max(shown[place] ?? 0, 0) / most : 0}%`;
      box.append(make("div", place === at ? "token true" : "token", name(data.tokens[place])), bar,
        make("div", "number", share ? signed(share[place]) : minus((cosine[place] ?? NaN).toFixed(2))));
    }
    byId("vector-chosen").replaceChildren(line, box);
  }

  // a second text
  const second = data.compared, firstSpans = second && second.parts ? flow(byId("first-flow")) : [];
  const secondSpans = second ? second.tokens.map((id, place) => {
    const span = make("span", second.special[place] ? "special dead" : "dead", flowing(id));
    byId("second-flow").append(span);
    return span;
  }) : [];
  const part = (value) => value === null ? "?" : Math.abs(value) < 5e-5 ? "0"
    : minus(Math.abs(value) >= .1 ? value.toFixed(3) : value.toPrecision(2));
  if (firstSpans.length) {
    const sums = second.parts.map((row) => row.reduce((sum, value) => sum + (value ?? 0), 0)), most = largest(sums);
    firstSpans.forEach((span, place) => shade(span, sums[place], most, part(sums[place]), "--serve"));
  }
  function paintCompared() {
    if (!firstSpans.length) return;
    mark(firstSpans, chosen.token);
    const row = second.parts[chosen.token], most = largest(second.parts.flat());
    secondSpans.forEach((span, place) => shade(span, row[place], most, part(row[place]), "--serve"));
    const heading = byId("second-name");
    heading.replaceChildren("What ", make("span", "token", name(data.tokens[chosen.token])), " has in common with each token of the second text");
    const sum = row.reduce((sum, value) => sum + (value ?? 0), 0);
    const strongest = [...row.keys()].sort((a, b) => (row[b] ?? 0) - (row[a] ?? 0)).slice(0, 3);
    const line = make("p", "", `Its part in the similarity: ${part(sum)} of ${minus(second.similarity.toFixed(3))}, most of it with `);
    strongest.forEach((place, at) => line.append(at ? ", " : "", make("span", "token", name(second.tokens[place])), ` ${part(row[place])}`));
    byId("second-chosen").replaceChildren(line);
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

"use strict";
// Where a text's words stand in the documents: spans that open a passage, shares, and a box to trace any text.

const AROUND = 700; // characters of a passage on each side of the words
const LONGEST = 20000; // characters that the server gives at once

const times = (count) => (count === 1 ? "once" : `${count.toLocaleString("en")} times`);

// For a text and its spans: shown(start, end), nodes for that part of the text, offsets in UTF-16 units.
// Neighbours may overlap; what they share is shown with the first. Parts of one span, cut apart by what lies between,
// all open it; the keyboard stops at the first.
function standing(text, spans) {
  const units = unitOffsets(text);
  let last = 0;
  const ranges = spans.map((span, index) => {
    const start = Math.max(units[span.start], last), end = (last = units[span.end]);
    return { start, end, span, number: index + 1, words: text.slice(units[span.start], end) };
  });
  const seen = new Set();
  return (from, to) => {
    const nodes = [];
    let at = from;
    for (const range of ranges) {
      const start = Math.max(range.start, from), end = Math.min(range.end, to);
      if (start >= end) continue;
      nodes.push(text.slice(at, start), spanMark(range, text.slice(start, end), !seen.has(range)));
      seen.add(range);
      at = end;
    }
    return [...nodes, text.slice(at, to)];
  };
}

function spanMark({ span, number, words }, shown, first) {
  const open = () => openPassage(span, words);
  const made = element("span", { class: "stands", title: describe(span), onclick: open });
  // A line under the indentation would read as a blank to fill in.
  const lines = shown.split(/(\n\s*)/).map((part, index) => (index % 2 ? part : element("span", { class: "words" }, part)));
  if (!first) {
    made.append(...lines);
    return made;
  }
  made.setAttribute("role", "button");
  made.setAttribute("tabindex", "0");
  made.setAttribute("aria-haspopup", "dialog");
  made.addEventListener("keydown", (pressed) => {
    if (pressed.key !== "Enter" && pressed.key !== " ") return;
    pressed.preventDefault();
    open();
  });
  made.append(element("span", { class: "number", "aria-hidden": "true" }, String(number)), ...lines,
    element("span", { class: "hidden" }, ` (these words stand ${describe(span)})`));
  return made;
}

function describe(span) {
  const [first] = span.sources;
  return `${times(span.count)} in the documents${first ? `, ${span.count === 1 ? "" : "first named: "}${first.path}` : ""}`;
}

function shares(traced) {
  const copied = Math.round(100 * traced.copied_share);
  const marked = traced.spans.length ? `${plural(traced.spans.length, "run of words is", "runs of words are")} marked` : "no run of words is long enough to tell";
  return element("p", { class: "shares" }, element("strong", null, `${copied} % copied`),
    ` in runs of ${traced.copied_run_tokens} tokens or more, `, element("strong", null, `${100 - copied} % new`), `; ${marked}`);
}

// ---------------------------------------------------------------- the passage

let opened = 0; // a slow answer to an earlier click must not replace a later one's

function openPassage(span, words) {
  const named = plural(span.sources.length, "document is", "documents are");
  $("passage-count").textContent = `${plural(span.tokens, "token", "tokens")}, ${times(span.count)} in the documents${span.count > 1 ? `; ${named} named` : ""}`;
  $("passage-words").textContent = words;
  const choices = span.sources.map((source) => {
    const choice = element("button", { type: "button" }, source.path || source.title);
    choice.addEventListener("click", () => showSource(span, source, choice));
    return element("li", null, choice);
  });
  $("passage-sources").replaceChildren(...choices);
  $("passage-sources").hidden = choices.length < 2;
  if (!$("passage").open) $("passage").showModal();
  if (choices.length) showSource(span, span.sources[0], choices[0].firstChild);
  else {
    opened += 1;
    $("passage-place").textContent = "";
    $("passage-text").hidden = true;
    say($("passage-status"), "The document that has these words is not in the search index.");
  }
}

async function showSource(span, source, choice) {
  const mine = (opened += 1);
  for (const each of $("passage-sources").querySelectorAll("button")) each.removeAttribute("aria-current");
  choice.setAttribute("aria-current", "true");
  $("passage-place").textContent = source.path;
  say($("passage-status"), "Opening …");
  const size = span.end - span.start, start = Math.max(0, source.start - AROUND);
  const wanted = new URLSearchParams({ start, length: Math.min(LONGEST, source.start - start + size + AROUND) });
  try {
    const passage = await getJson(`/documents/${encodeURIComponent(source.document)}?${wanted}`);
    if (mine !== opened) return;
    const units = unitOffsets(passage.text), lead = source.start - passage.start;
    const [first, last] = [units[lead], units[Math.min(lead + size, units.length - 1)]];
    const before = passage.text.slice(0, first), line = passage.line + before.split("\n").length - 1;
    // Whole lines, where there are any on that side.
    const from = passage.start ? before.indexOf("\n") + 1 : 0, end = passage.text.lastIndexOf("\n");
    const to = passage.end < passage.length && end >= last ? end : passage.text.length;
    $("passage-place").textContent = `${passage.path}:${line}`;
    $("passage-text").replaceChildren(passage.start ? "…\n" : "",
      ...marked(passage.text.slice(from, to), [[first - from, last - from]]), passage.end < passage.length ? "\n…" : "");
    $("passage-text").hidden = false;
    const of = passage.length.toLocaleString("en");
    say($("passage-status"), `characters ${source.start.toLocaleString("en")} to ${(source.start + size).toLocaleString("en")} of ${of}`);
    $("passage-text").querySelector("mark").scrollIntoView({ block: "center" });
  } catch (error) {
    if (mine !== opened) return;
    $("passage-text").hidden = true;
    say($("passage-status"), error.message, true);
  }
}

$("passage-close").addEventListener("click", () => $("passage").close());
$("passage").addEventListener("click", (clicked) => {
  if (clicked.target === $("passage")) $("passage").close(); // beside the panel
});

// ---------------------------------------------------------------- any text

let tracing = null;

async function traceText() {
  const text = $("trace-text").value;
  if (!text.trim()) return;
  if (tracing) tracing.abort();
  const mine = (tracing = new AbortController());
  say($("trace-status"), "Tracing …");
  const started = performance.now();
  try {
    const traced = await postJson("/trace", { text }, mine.signal);
    say($("trace-status"), `Traced in ${((performance.now() - started) / 1000).toFixed(2)} s`);
    const shown = element("div", { class: "traced-text" }, ...standing(text, traced.spans)(0, text.length));
    $("traced").replaceChildren(element("div", { class: "card" }, shares(traced), shown));
  } catch (error) {
    if (mine === tracing && error.name !== "AbortError") say($("trace-status"), error.message, true);
  }
}

$("trace-form").addEventListener("submit", (submitted) => { submitted.preventDefault(); traceText(); });
$("trace-text").addEventListener("keydown", (pressed) => {
  if (pressed.key === "Enter" && (pressed.ctrlKey || pressed.metaKey)) { pressed.preventDefault(); traceText(); }
});

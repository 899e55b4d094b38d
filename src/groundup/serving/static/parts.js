"use strict";
// What the page's other scripts use. Text from documents and models only ever enters through textContent or text nodes.

const $ = (id) => document.getElementById(id);

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// Text with the ranges [start, end) in <mark>.
function marked(text, ranges) {
  const parts = [];
  let at = 0;
  for (const [start, end] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (start < at) continue;
    parts.push(text.slice(at, start), element("mark", null, text.slice(start, end)));
    at = end;
  }
  return [...parts, text.slice(at)];
}

// Text with ``` fences as <pre>; an open fence counts as code, so that a stream doesn't jump.
// shown(start, end): nodes for that part of the text.
function fenced(text, shown = (start, end) => [text.slice(start, end)]) {
  const nodes = [];
  let at = 0, code = false;
  for (const fence of [...text.matchAll(/^[ \t]*```/gm), null]) {
    let start = at, end = fence ? fence.index : text.length;
    if (code) {
      const line = text.slice(start, end).indexOf("\n"); // the fence's own line may name a language
      start = line < 0 ? end : start + line + 1;
      end = start + text.slice(start, end).trimEnd().length;
      nodes.push(element("pre", null, ...shown(start, end)));
    } else {
      if (at && start < end && text[start] === "\n") start += 1;
      nodes.push(...shown(start, end));
    }
    if (fence) at = fence.index + fence[0].length;
    code = !code;
  }
  return nodes;
}

// Offsets from the server count characters (code points); strings here count UTF-16 units. At each character's
// number, and at that of the text's end: the unit where it begins.
function unitOffsets(text) {
  const units = [0];
  for (const character of text) units.push(units[units.length - 1] + character.length);
  return units;
}

// ---------------------------------------------------------------- requests

async function explainFailure(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

async function getJson(url, signal) {
  const response = await fetch(url, { signal });
  if (!response.ok) throw new Error(await explainFailure(response));
  return response.json();
}

async function postJson(url, body, signal) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal });
  if (!response.ok) throw new Error(await explainFailure(response));
  return response.json();
}

// Yields {event, data} of a server-sent stream until [DONE].
async function* events(url, body, signal) {
  const response = await fetch(url, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal,
  });
  if (!response.ok) throw new Error(await explainFailure(response));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("The connection ended early.");
    held += value;
    const blocks = held.split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      let event = "", data = "";
      for (const line of block.split("\n")) {
        if (line.startsWith("event: ")) event = line.slice(7);
        else if (line.startsWith("data: ")) data += line.slice(6);
      }
      if (data === "[DONE]") return;
      if (!data) continue;
      const parsed = JSON.parse(data);
      if (parsed.error) throw new Error(parsed.error.message);
      yield { event, data: parsed };
    }
  }
}

// A model's name, and memory beside it where that has a say. memory: of /status; use: "completion" or "answers".
function withMemory(model, memory, use) {
  return model in memory && memory[model][use].on ? `${model} + memory` : model;
}

function say(target, text, bad) {
  target.textContent = text;
  target.classList.toggle("error", Boolean(bad));
}

const plural = (count, one, many) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

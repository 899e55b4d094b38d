"use strict";
// The page's functions over a document that only keeps what was put in: node page_parts.js FOLDER < requests, a JSON line each.

const fs = require("fs"), path = require("path"), vm = require("vm");

class Kept {
  constructor(tag) { Object.assign(this, { tag, children: [], attributes: {}, className: "" }); }
  append(...children) { this.children.push(...children); }
  setAttribute(name, value) { this.attributes[name] = value; }
  addEventListener() {}
}
const document = { createElement: (tag) => new Kept(tag), getElementById: () => new Kept("any") };
const context = vm.createContext({ document, URLSearchParams, AbortController });
for (const name of ["parts.js", "trace.js"]) vm.runInContext(fs.readFileSync(path.join(process.argv[2], name), "utf8"), context);

// What a person sees, with each span as [number, its words].
function plain(nodes, found) {
  return nodes.map((node) => {
    if (typeof node === "string") return node;
    if (node.className === "hidden" || node.className === "number") return "";
    const text = plain(node.children, found);
    if (node.className === "stands") found.push([node.attributes.role === "button", text]);
    return node.tag === "pre" ? `<pre>${text}</pre>` : text;
  }).join("");
}

for (const line of fs.readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const { text, spans, named } = JSON.parse(line), found = [], whole = [];
  if (named) {
    console.log(JSON.stringify(named.map((one) => context.withMemory(...one))));
    continue;
  }
  const fenced = plain(context.fenced(text, context.standing(text, spans)), found);
  const shown = plain(context.standing(text, spans)(0, text.length), whole);
  console.log(JSON.stringify({ shown, whole, fenced, found }));
}

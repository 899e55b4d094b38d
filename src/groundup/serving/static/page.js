"use strict";
// One page, no framework: parts.js has its tools, trace.js shows where words stand.

// ---------------------------------------------------------------- what serves

let status = null;
let models = [];

async function loadStatus() {
  try {
    [status, { data: models }] = await Promise.all([getJson("/status"), getJson("/v1/models")]);
  } catch (error) {
    say($("serving"), error.message, true);
    return;
  }
  showServing();
  const systems = $("system");
  systems.replaceChildren(...status.systems.map((name) =>
    element("option", { value: name }, name === "best" ? `best (${status.best_system})` : name)));
  const writers = models.filter((model) => model.kind !== "embedding");
  $("model").replaceChildren(...writers.map((model) => {
    const kind = model.kind === "chat" ? "chat" : "completion only";
    return element("option", { value: model.id }, `${model.id} (${kind})`);
  }));
  const first = status.chat_model || status.champion;
  if (first) $("model").value = first;
  offerMemory($("ask-memory"), first && status.memory[first] && status.memory[first].answers);
  document.body.classList.toggle("traces", status.traces);
  $("tab-trace").hidden = !status.traces;
  chooseModel();
}

function showServing() {
  const parts = [];
  const named = (model, use) => element("strong", null, withMemory(model, status.memory, use));
  if (status.champion) parts.push(named(status.champion, "completion"), " serves");
  else parts.push("no language model serves");
  if (status.chat_model && status.chat_model !== status.champion) parts.push(", ", named(status.chat_model, "answers"), " chats");
  parts.push(` · ${plural(status.documents, "document", "documents")} · ${status.coverage.sentence} · release ${status.release}`);
  $("serving").replaceChildren(...parts);
  const [first, ...others] = status.verdicts;
  $("verdict").textContent = first || "";
  const lines = [
    ...others.map((text) => element("li", null, text)),
    ...status.warnings.map((text) => element("li", { class: "warning" }, text)),
  ];
  $("verdicts").replaceChildren(...lines);
  $("why").hidden = lines.length === 0;
}

// say: {on, reason} of the model that would write, or undefined if it has no memory.
function offerMemory(select, say) {
  const [choice, note] = [select.closest(".memory"), $(`${select.id}-note`)];
  choice.hidden = !say;
  if (!say) return;
  select.disabled = !say.on;
  select.value = say.on ? "auto" : "off";
  note.textContent = say.on ? "" : say.reason;
}

// ---------------------------------------------------------------- search and ask

let finding = null;

async function find(work) {
  if (finding) finding.abort();
  const mine = (finding = new AbortController());
  $("find-stop").hidden = false;
  const started = performance.now();
  try {
    await work(mine.signal, () => ((performance.now() - started) / 1000).toFixed(2));
  } catch (error) {
    if (mine !== finding) return; // a newer search has taken over
    if (error.name === "AbortError") say($("find-status"), "Stopped.");
    else say($("find-status"), error.message, true);
  } finally {
    if (mine === finding) { finding = null; $("find-stop").hidden = true; }
  }
}

function search(query) {
  return find(async (signal, seconds) => {
    say($("find-status"), "Searching …");
    const wanted = new URLSearchParams({ q: query, k: 10, system: $("system").value || "best", explain: true });
    const answer = await getJson(`/search?${wanted}`, signal);
    const count = plural(answer.results.length, "result", "results");
    say($("find-status"), `${answer.results.length ? count : "Nothing was found"} by ${answer.system} in ${seconds()} s · ${answer.coverage.sentence}`);
    $("found").replaceChildren(...answer.results.map(resultCard));
  });
}

function score(value) {
  return Math.abs(value) >= 1 ? value.toFixed(2) : value.toPrecision(3);
}

function resultCard(result) {
  const facts = Object.entries(result.found_by).map(([system, rank]) => {
    const given = result.scores && system in result.scores ? ` (${score(result.scores[system])})` : "";
    return element("li", { title: `rank ${rank} in ${system}` }, `${system} #${rank}${given}`);
  });
  const whole = element("details", null, element("summary", null, "whole passage"));
  whole.addEventListener("toggle", () => {
    if (whole.open && whole.children.length === 1) whole.append(element("pre", { class: "whole", tabindex: "0" }, result.text));
  });
  return element("article", { class: "card result" },
    element("div", { class: "rank", "aria-label": `rank ${result.rank}` }, String(result.rank)),
    element("div", null,
      element("h3", null, result.title || result.source),
      element("p", { class: "place" }, `${result.source}:${result.line}`),
      element("ul", { class: "facts", "aria-label": "found by" }, element("li", null, `score ${score(result.score)}`), ...facts),
      element("pre", null, ...marked(result.snippet.text, result.snippet.marks)),
      result.snippet.text.trim() === result.text.trim() ? null : whole));
}

function ask(question) {
  return find(async (signal, seconds) => {
    say($("find-status"), "Looking for passages that answer …");
    const body = {
      question, stream: true, generated: $("with-generated").checked && Boolean(status && status.champion),
      memory: $("ask-memory").value, trace: Boolean(status && status.traces),
    };
    let text = null, written = "";
    for await (const { event, data } of events("/ask", body, signal)) {
      if (event === "answer") {
        showAnswer(data);
        say($("find-status"), `Answered from ${plural(data.citations.length, "passage", "passages")} in ${seconds()} s · ${data.coverage.sentence}`);
        if (data.refused) say($("find-status"), `Refused in ${seconds()} s · ${data.coverage.sentence}`);
      } else if (event === "generated") {
        text = element("div", { class: "text" });
        const card = element("div", { class: "card made" }, element("span", { class: "label" }, data.label), text);
        $("found").insertBefore(card, $("found").children[1] || null);
      } else if (event === "delta" && text) {
        written = (written + data.text).trimStart();
        text.replaceChildren(...fenced(written));
      } else if (event === "trace" && text) {
        written = written.trimEnd();
        text.replaceChildren(...fenced(written, standing(written, data.spans)));
        text.after(shares(data));
      }
    }
  });
}

const CODE = new Set(["function", "class", "module", "lines", "table"]); // shown with their columns

function showAnswer(answer) {
  if (answer.refused) {
    $("found").replaceChildren(element("div", { class: "card" },
      element("span", { class: "label" }, "no answer"),
      element("p", null, answer.reason || "The documents do not answer this.")));
    return;
  }
  const passages = new Map();
  for (const citation of answer.citations) {
    const units = unitOffsets(citation.text);
    const ranges = answer.sentences.filter((quote) => quote.citation === citation.number)
      .map((quote) => [units[quote.start], units[quote.end]]);
    passages.set(citation.number, element("details", { class: "card passage", id: `passage-${citation.number}` },
      element("summary", null, element("span", { class: "number" }, `[${citation.number}] `), citation.title || citation.source,
        element("p", { class: "place" }, `${citation.source}:${citation.line}`)),
      element("pre", { class: "whole", tabindex: "0" }, ...marked(citation.text, ranges))));
  }
  const open = (number) => {
    const passage = passages.get(number);
    passage.open = true;
    passage.scrollIntoView({ block: "nearest" });
    passage.querySelector("summary").focus();
  };
  const code = new Set(answer.citations.filter((each) => CODE.has(each.kind)).map((each) => each.number));
  const quotes = answer.sentences.map((quote) => element("blockquote", { class: code.has(quote.citation) ? "quote code" : "quote" },
    quote.text, " ",
    element("button", { type: "button", class: "cite", "aria-label": `open passage ${quote.citation}`, onclick: () => open(quote.citation) }, `[${quote.citation}]`)));
  $("found").replaceChildren(
    element("div", { class: "card" }, element("span", { class: "label" }, "quoted from the documents"), ...quotes),
    ...passages.values());
}

$("find-form").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  const query = $("query").value.trim();
  if (!query) return;
  const asked = submitted.submitter === $("ask-button");
  history.replaceState(null, "", `?${new URLSearchParams({ [asked ? "ask" : "q"]: query })}`);
  if (asked) ask(query); else search(query);
});
$("find-stop").addEventListener("click", () => finding && finding.abort());

// ---------------------------------------------------------------- chat and completion

let talking = null;
let messages = [];
let chats = true;

function chooseModel() {
  const model = models.find((each) => each.id === $("model").value);
  chats = Boolean(model && model.kind === "chat");
  const title = chats ? "Chat" : "Complete";
  $("talk-title").textContent = title;
  $("tab-talk").textContent = title;
  $("send").textContent = chats ? "Send" : "Continue";
  $("clear").textContent = chats ? "New conversation" : "Clear";
  $("message-label").textContent = chats ? "Message" : "Text to continue";
  $("message").placeholder = chats ? "Write a message. Enter sends it, Shift+Enter breaks the line." : "Write the beginning of a text; the model goes on. Ctrl+Enter starts it.";
  $("talk").hidden = !model;
  if (!model) { $("tab-talk").hidden = true; return; }
  const license = model.license ? ` · ${model.license}` : "";
  say($("talk-note"), chats ? `with ${model.id}${license}; it does not read your documents unless you Ask`
    : `${model.id} was not trained to chat: it continues text${license}`);
  const memory = status.memory[model.id];
  offerMemory($("memory"), memory && (chats ? memory.answers : memory.completion));
  startAgain();
}

function startAgain() {
  if (talking) talking.abort();
  messages = [];
  $("conversation").replaceChildren();
  say($("talk-status"), "");
}

function turn(who, name, text) {
  const shown = element("div", { class: "text" }, text);
  const made = element("div", { class: `turn ${who}` }, element("span", { class: "who" }, name), shown);
  $("conversation").append(made);
  scrollDown();
  return { made, shown };
}

function scrollDown() {
  const box = $("conversation");
  box.scrollTop = box.scrollHeight;
}

function settings() {
  const number = (id) => $(id).valueAsNumber;
  const chosen = {
    model: $("model").value, stream: true, stream_options: { include_usage: true },
    temperature: number("temperature"), top_p: number("top-p"), repetition_penalty: number("repetition"), max_tokens: number("max-tokens"),
    memory: $("memory").value, trace: status.traces,
  };
  return Object.fromEntries(Object.entries(chosen).filter(([, value]) => !Number.isNaN(value)));
}

async function send() {
  const text = $("message").value;
  if (!text.trim() || talking) return;
  const mine = (talking = new AbortController());
  const model = $("model").value;
  $("talk-stop").hidden = false;
  $("send").disabled = true;
  say($("talk-status"), "Waiting for the first token …");
  let url = "/v1/completions", body = { ...settings(), prompt: text, truncate: true };
  let shown, target;
  if (chats) {
    turn("user", "you", text);
    messages.push({ role: "user", content: text });
    [url, body] = ["/v1/chat/completions", { ...settings(), messages }];
    shown = turn("assistant", model, "");
    target = shown.shown;
  } else {
    shown = turn("assistant", model, text);
    target = element("span", { class: "added" });
    shown.shown.append(target);
  }
  shown.made.classList.add("busy");
  if (chats) $("message").value = "";
  const started = performance.now();
  let first = null, usage = null, reason = null, answer = "", dropped = 0, traced = null;
  try {
    for await (const { data } of events(url, body, mine.signal)) {
      if (data.usage) usage = data.usage;
      if (data.groundup) {
        dropped = data.groundup.dropped_prompt_tokens || 0;
        traced = data.groundup.trace || null;
      }
      const choice = data.choices[0];
      if (!choice) continue;
      const piece = (chats ? choice.delta.content : choice.text) || "";
      reason = choice.finish_reason || reason;
      if (!piece) continue;
      if (first === null) { first = performance.now(); say($("talk-status"), "Writing …"); }
      answer += piece;
      if (chats) target.replaceChildren(...fenced(answer.trimStart()));
      else target.textContent = answer;
      scrollDown();
    }
    say($("talk-status"), "");
  } catch (error) {
    if (error.name === "AbortError") { reason = "stopped by you"; say($("talk-status"), ""); }
    else say($("talk-status"), error.message, true);
  }
  shown.made.classList.remove("busy");
  if (status.traces && answer.trim()) {
    // A stream that was stopped ends without its trace.
    traced = traced || await postJson("/trace", { text: answer }).catch(() => null);
    if (traced) {
      const standingIn = standing(answer, traced.spans), lead = answer.length - answer.trimStart().length;
      const nodes = chats ? fenced(answer.trimStart(), (start, end) => standingIn(start + lead, end + lead)) : standingIn(0, answer.length);
      target.replaceChildren(...nodes);
      shown.made.append(shares(traced));
    }
  }
  facts(shown.made, { usage, reason, dropped, first, started });
  scrollDown();
  if (chats) {
    if (answer) messages.push({ role: "assistant", content: answer });
    else {
      messages.pop(); // what failed is not part of the conversation
      if (!reason) { shown.made.remove(); $("message").value = text; }
    }
  }
  if (talking === mine) talking = null;
  $("talk-stop").hidden = true;
  $("send").disabled = false;
  $("message").focus();
}

function facts(made, { usage, reason, dropped, first, started }) {
  const list = [];
  if (usage) {
    const rate = first === null || usage.completion_tokens < 2 ? null : ((usage.completion_tokens - 1) * 1000) / (performance.now() - first);
    list.push(plural(usage.completion_tokens, "token", "tokens"));
    if (rate) list.push(`${rate.toFixed(1)} tokens/s`);
  }
  if (first !== null) list.push(`first after ${((first - started) / 1000).toFixed(1)} s`);
  const meanings = { stop: "ended by itself", length: "cut at the token limit" };
  if (reason) list.push(meanings[reason] || reason);
  if (dropped) list.push(`${plural(dropped, "token", "tokens")} of the beginning left out`);
  if (list.length) made.append(element("ul", { class: "facts" }, ...list.map((text) => element("li", null, text))));
}

$("talk-form").addEventListener("submit", (submitted) => { submitted.preventDefault(); send(); });
$("message").addEventListener("keydown", (pressed) => {
  if (pressed.key !== "Enter" || pressed.isComposing) return;
  if (chats ? !pressed.shiftKey : pressed.ctrlKey || pressed.metaKey) { pressed.preventDefault(); send(); }
});
$("talk-stop").addEventListener("click", () => talking && talking.abort());
$("clear").addEventListener("click", startAgain);
$("model").addEventListener("change", chooseModel);

// ---------------------------------------------------------------- tabs

const TABS = ["find", "trace", "talk"];

function show(name) {
  for (const each of TABS) {
    const chosen = each === name;
    $(each).classList.toggle("shown", chosen);
    $(`tab-${each}`).setAttribute("aria-selected", String(chosen));
    $(`tab-${each}`).tabIndex = chosen ? 0 : -1;
  }
}
for (const name of TABS) {
  $(`tab-${name}`).addEventListener("click", () => show(name));
  $(`tab-${name}`).addEventListener("keydown", (pressed) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[pressed.key];
    if (!step) return;
    const there = TABS.filter((each) => $(`tab-${each}`).offsetParent !== null);
    const other = there[(there.indexOf(name) + step + there.length) % there.length];
    show(other);
    $(`tab-${other}`).focus();
  });
}

$("api").textContent = `${location.origin}/v1`;
show("find");
loadStatus().then(() => {
  const asked = new URLSearchParams(location.search);
  const query = asked.get("q") || asked.get("ask");
  if (!query) return;
  $("query").value = query;
  if (asked.has("ask")) ask(query); else search(query);
});

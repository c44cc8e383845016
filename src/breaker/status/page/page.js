// The page itself: asks, sorts, filters, says what has changed.

const $ = (id) => document.getElementById(id);
const body = document.querySelector("#breakers tbody");
const rows = new Map();
const processes = new Map(); // id → {pid, host}
let chosen = null; // id of the process whose answers are shown
let shown = null; // the last answer
let skew = 0; // the program's clock minus this one's, in seconds
let answered = 0; // when the last answer came
let asking = null;
let timer = 0;
let moved = -Infinity; // when the pointer last moved over the rows
let quick = false;
const view = { q: "", only: null, sort: "trouble", up: false };

const KEYS = {
  trouble: (b) => b.trouble,
  name: (b) => b.name,
  pressure: (b) => b.pressure,
  rate: (b) => (b.recent ? b.recent.calls_per_second : 0),
  bad: (b) => (b.recent ? b.recent.shares.failure + b.recent.shares.rejected : 0),
  policy: (b) => origin(shown.policies[b.policy]),
};

function now() {
  return Date.now() / 1000 + skew;
}

// -- asking --

async function ask() {
  clearTimeout(timer);
  if (asking || document.hidden) return;
  asking = new AbortController();
  const limit = setTimeout(() => asking && asking.abort(), 10000);
  try {
    const many = shown && shown.breakers.length > 100;
    const answer = await fetch("breakers" + (many && quick ? "" : "?lines=1"), { signal: asking.signal, cache: "no-store" });
    if (!answer.ok) throw new Error("the program answers " + answer.status);
    take(await answer.json());
  } catch (error) {
    failed(error);
  } finally {
    clearTimeout(limit);
    asking = null;
    const many = shown && shown.breakers.length > 100;
    quick = many && !quick;
    timer = setTimeout(ask, many ? 4000 : 2000);
  }
}

function take(answer) {
  const process = answer.process;
  if (!processes.has(process.id)) {
    processes.set(process.id, process);
    offerProcesses();
  }
  if (chosen !== null && process.id !== chosen) {
    if (performance.now() - answered < 15000) return;
    if (processes.size > 1) processes.delete(chosen); // it has gone
    offerProcesses();
  }
  chosen = process.id;
  $("process").value = chosen;
  answered = performance.now();
  skew = answer.at - Date.now() / 1000;
  const before = shown;
  shown = answer;
  show();
  if (!streaming && before && before.process.id === answer.process.id) compare(before, answer);
}

function offerProcesses() {
  $("process").replaceChildren(...[...processes.values()].map((each) => make("option", { value: each.id }, each.pid + " on " + each.host)));
  $("processes").hidden = processes.size < 2;
}

function failed(error) {
  chosen = null; // whoever answers next: perhaps it has been started anew
  processes.clear();
  const text = error.name === "AbortError" ? "it does not answer" : error.message;
  $("trouble").hidden = false;
  write($("trouble"), "No news from the program (" + text + ")" + (shown ? "; this is of " + clock(shown.at) + "." : "."));
  document.body.classList.add("stale");
  label($("freshness"), "data-how", "late");
  write($("freshness"), shown ? "of " + clock(shown.at) : "no answer");
}

// -- showing --

function show() {
  $("trouble").hidden = true;
  document.body.classList.remove("stale");
  write($("service"), shown.service);
  write($("place"), "process " + shown.process.pid + " on " + shown.process.host);
  $("place").hidden = processes.size > 1;
  showSource(shown.source);
  showSummary(shown.summary);
  const at = now();
  const present = new Set();
  for (const b of shown.breakers) {
    present.add(b.name);
    if (!rows.has(b.name)) rows.set(b.name, new Row(b.name, shown.actions ? confirmAction : null));
    rows.get(b.name).show(b, shown.policies[b.policy], at);
  }
  for (const [name, row] of rows) {
    if (!present.has(name)) {
      row.element.remove();
      if (row.details) row.details.remove();
      rows.delete(name);
    }
  }
  arrange();
  tick();
}

function showSource(source) {
  const text = source === null ? "Policies: those of the program"
    : source.connected ? "Policies" + (source.endpoint ? " of " + source.endpoint : "") + " at revision " + source.revision
    : "Policies cannot be read: " + (source.last_error || "not connected yet");
  write($("source"), text);
  $("source").classList.toggle("lost", source !== null && !source.connected);
}

function showSummary(summary) {
  const group = $("summary");
  if (!group.childElementCount) {
    for (const condition of Object.keys(summary)) {
      const button = make("button", { type: "button", "data-condition": condition, "aria-pressed": "false" },
        icon(condition), make("b"), make("span", {}, CONDITIONS[condition].toLowerCase()));
      button.addEventListener("click", () => {
        view.only = view.only === condition ? null : condition;
        changedView();
      });
      group.append(button);
    }
  }
  for (const button of group.children) {
    const condition = button.dataset.condition, n = summary[condition];
    write(button.children[1], count(n));
    label(button, "class", n ? "c-" + condition : "none");
    label(button, "aria-pressed", String(view.only === condition));
    button.hidden = n === 0 && !["open", "half_open", "closed"].includes(condition) && view.only !== condition;
  }
  const bad = summary.open + summary.forced_open;
  document.title = (bad ? "(" + bad + ") " : "") + shown.service + " · circuit breakers";
  const colour = summary.open ? "#b3141c" : bad ? "#7a2e8e" : summary.half_open ? "#8a5300" : "#256c3a";
  const drawing = `<svg xmlns="${SVG}" viewBox="0 0 16 16"><path fill="${colour}" d="M5 1h6l4 4v6l-4 4H5l-4-4V5z"/></svg>`;
  label(document.querySelector("link[rel=icon]"), "href", "data:image/svg+xml," + encodeURIComponent(drawing));
}

function matches(b) {
  if (view.only !== null && b.condition !== view.only) return false;
  const text = (b.name + " " + (b.last_error || "") + " " + origin(shown.policies[b.policy])).toLowerCase();
  return view.q.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function arrange() {
  if (!shown) return;
  const key = KEYS[view.sort];
  const order = shown.breakers.map((b) => [key(b), b]).sort(([x, a], [y, b]) => {
    const by = x < y ? -1 : x > y ? 1 : 0;
    return (view.up ? by : -by) || b.trouble - a.trouble || (a.name < b.name ? -1 : 1);
  });
  const hold = performance.now() - moved < 3000; // no row goes away from under the pointer
  const focused = document.activeElement;
  let last = null, visible = 0;
  for (const [, b] of order) {
    const row = rows.get(b.name);
    const wanted = matches(b);
    row.element.hidden = !wanted;
    if (row.details) row.details.hidden = !wanted;
    visible += wanted;
    if (!hold || !row.element.isConnected) {
      const place = last ? last.nextSibling : body.firstChild;
      if (place !== row.element) body.insertBefore(row.element, place);
      if (row.details && row.element.nextSibling !== row.details) row.element.after(row.details);
      last = row.details || row.element;
    }
  }
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  const total = shown.breakers.length;
  write($("count"), visible === total ? count(total) + (total === 1 ? " breaker" : " breakers") : count(visible) + " of " + count(total));
  $("nothing").hidden = visible > 0;
  write($("nothing"), total ? "No breaker matches. Esc clears the filter." : "This program has made no breaker yet.");
}

function tick() {
  if (!shown || document.hidden) return;
  const at = now(), age = (performance.now() - answered) / 1000;
  for (const row of rows.values()) if (!row.element.hidden) row.tick(at);
  if (document.body.classList.contains("stale")) return;
  label($("freshness"), "data-how", age < 8 ? "live" : "late");
  write($("freshness"), age < 8 ? (streaming ? "live" : "every " + (shown.breakers.length > 100 ? 4 : 2) + " s") : "of " + clock(shown.at));
}

// -- changes --

let streaming = false;
let pending = [];
let saying = 0;

function listen() {
  const source = new EventSource("events");
  source.addEventListener("open", () => { streaming = true; });
  source.addEventListener("error", () => { streaming = false; });
  source.addEventListener("resync", () => soon());
  for (const kind of ["state_changed", "mode_changed", "policy_updated", "policy_rejected", "would_have_opened",
    "probe_overdue", "source_lost", "source_regained", "breaker_created"]) {
    source.addEventListener(kind, (event) => {
      if (chosen !== null && event.lastEventId.split("-")[0] !== chosen) return;
      const data = JSON.parse(event.data);
      const sentence = told(kind, data);
      if (sentence && kind !== "breaker_created") note(data.at, ...sentence, kind);
      soon();
    });
  }
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(ask, 200);
}

// Without a stream: what differs from the answer before.
function compare(before, after) {
  const old = new Map(before.breakers.map((b) => [b.name, b]));
  for (const b of after.breakers) {
    const was = old.get(b.name);
    const error = b.condition === "open" && b.last_error ? ": " + b.last_error : "";
    const quiet = ["closed", "strained"];
    if (was && was.condition !== b.condition && !(quiet.includes(b.condition) && quiet.includes(was.condition))) {
      note(after.at, b.name, CONDITIONS[b.condition].toLowerCase() + error, "state_changed");
    }
  }
}

function note(at, name, text, kind) {
  const list = $("changes");
  $("changes-none").hidden = true;
  list.prepend(make("li", {}, make("time", { datetime: new Date(at * 1000).toISOString() }, clock(at)), make("b", {}, name), " " + text));
  while (list.childElementCount > 100) list.lastChild.remove();
  if (kind === "state_changed" || kind === "mode_changed") pending.push(name + " " + text);
  if (!saying) saying = setTimeout(say, 1000);
}

// At most one sentence in some seconds: nobody can listen to a storm.
function say() {
  const changes = pending;
  pending = [];
  saying = changes.length ? setTimeout(say, 4000) : 0;
  if (changes.length) write($("live"), changes.length > 3 ? changes.length + " changes, the last: " + changes.at(-1) : changes.join(". "));
}

// -- steering --

function confirmAction(name, text, action) {
  const dialog = $("confirm");
  write($("confirm-title"), text + ": " + name);
  write($("confirm-text"), "In process " + shown.process.pid + " on " + shown.process.host + ", at once. Other processes and the documents stay as they are.");
  write($("confirm-yes"), text);
  $("confirm-yes").onclick = () => { dialog.close(); act(name, text, action); };
  $("confirm-no").onclick = () => dialog.close();
  dialog.showModal();
}

async function act(name, text, action) {
  try {
    const answer = await fetch("actions", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Breaker-Token": shown.actions.token },
      body: JSON.stringify({ name, ...action }),
    });
    const result = await answer.json();
    write($("live"), answer.ok ? name + ": done" : name + ": " + result.error);
    if (!answer.ok) note(now(), name, text + " was refused: " + result.error, "refused");
  } catch (error) {
    note(now(), name, text + " failed: " + error.message, "refused");
  }
  soon();
}

// -- looking --

function changedView() {
  const state = new URLSearchParams();
  if (view.q) state.set("q", view.q);
  if (view.only) state.set("only", view.only);
  if (view.sort !== "trouble" || view.up) state.set("sort", (view.up ? "-" : "") + view.sort);
  history.replaceState(null, "", state.size ? "#" + state : location.pathname + location.search);
  for (const head of document.querySelectorAll("[data-sort]")) {
    if (head.dataset.sort === view.sort) head.setAttribute("aria-sort", view.up ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
  $("sort").value = view.sort;
  if (shown) showSummary(shown.summary);
  moved = -Infinity;
  arrange();
}

function sortBy(key) {
  view.up = view.sort === key ? !view.up : key === "name" || key === "policy";
  view.sort = key;
  changedView();
}

function readView() {
  const state = new URLSearchParams(location.hash.slice(1));
  const sort = state.get("sort") || "trouble";
  view.q = state.get("q") || "";
  view.only = Object.hasOwn(CONDITIONS, state.get("only") || "") ? state.get("only") : null;
  view.up = sort.startsWith("-");
  view.sort = Object.hasOwn(KEYS, sort.replace("-", "")) ? sort.replace("-", "") : "trouble";
  $("filter").value = view.q;
}

function step(by) {
  const names = [...body.querySelectorAll("tr.row:not([hidden]) .name")];
  const at = names.indexOf(document.activeElement);
  const to = at < 0 ? (by > 0 ? 0 : names.length - 1) : Math.min(names.length - 1, Math.max(0, at + by));
  if (names[to]) names[to].focus();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("confirm").open) return;
  const field = event.target === $("filter");
  if (event.key === "/" && !field && event.target.tagName !== "SELECT") {
    $("filter").focus();
    $("filter").select();
  } else if (event.key === "Escape" && (field || view.q || view.only)) {
    $("filter").value = view.q = "";
    view.only = null;
    changedView();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && (field || body.contains(event.target)) && event.target.tagName !== "PRE") {
    step(event.key === "ArrowDown" ? 1 : -1);
  } else return;
  event.preventDefault();
}

for (const head of document.querySelectorAll("[data-sort]")) {
  head.querySelector("button").addEventListener("click", () => sortBy(head.dataset.sort));
  $("sort").append(make("option", { value: head.dataset.sort }, head.textContent));
}
$("sort").addEventListener("change", () => { view.sort = ""; sortBy($("sort").value); });
$("filter").addEventListener("input", () => { view.q = $("filter").value.trim(); changedView(); });
$("process").addEventListener("change", () => {
  chosen = $("process").value;
  answered = performance.now();
  for (const row of rows.values()) { row.element.remove(); if (row.details) row.details.remove(); }
  rows.clear();
  soon();
});
body.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") moved = performance.now(); });
document.addEventListener("keydown", keys);
document.addEventListener("visibilitychange", ask);
readView();
changedView();
setInterval(tick, 1000);
listen();
ask();

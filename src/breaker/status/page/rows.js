// Rows of the table: made once for each breaker, changed where something has changed.

const SVG = "http://www.w3.org/2000/svg";

function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === "class") element.className = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function drawn(tag, properties) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties || {})) element.setAttribute(name, value);
  return element;
}

function icon(condition) {
  const svg = drawn("svg", { "aria-hidden": "true", focusable: "false" });
  svg.append(drawn("use", { href: "#i-" + condition }));
  return svg;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function label(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

class Row {
  constructor(name, actions) {
    this.name = name;
    this.actions = actions;
    this.word = make("span");
    this.since = make("time", { class: "since" });
    this.state = make("span", { class: "state" }, icon("closed"), this.word);
    this.button = make("button", { class: "name", type: "button", "aria-expanded": "false" }, name);
    this.whyText = make("span");
    this.why = make("p", { class: "why" }, this.whyText);
    this.next = make("span", { class: "next" });
    this.measures = make("div", { class: "stands" });
    this.rate = make("span");
    this.drawing = this.makeDrawing();
    this.stack = make("div", { class: "stack", "aria-hidden": "true" });
    for (const kind of ["success", "failure", "rejected", "other"]) this.stack.append(make("i", { class: "s-" + kind }));
    this.shares = make("span");
    this.policy = make("span");
    this.wrong = make("span", { class: "wrong" });
    const cell = (properties, ...children) => make("td", { role: "cell", ...properties }, ...children);
    const calls = make("div", { class: "calls" }, this.drawing, this.rate);
    this.element = make("tr", { class: "row", role: "row" },
      cell({}, this.state, this.since), cell({}, this.button, this.why), cell({}, this.next, this.measures),
      cell({ class: "right" }, calls), cell({ class: "outcomes" }, this.stack, this.shares),
      cell({ class: "policy" }, this.policy, this.wrong));
    this.button.addEventListener("click", () => this.toggle());
  }

  makeDrawing() {
    const svg = drawn("svg", { viewBox: "0 0 59 20", preserveAspectRatio: "none", "aria-hidden": "true" });
    svg.append(drawn("path", { class: "ground", d: "M0 20H59" }));
    for (const kind of ["turned", "failed", "all"]) svg.append(drawn("path", { class: kind }));
    return svg;
  }

  show(b, policy, now) {
    this.seen = b;
    this.seenPolicy = policy;
    label(this.element, "class", "row r-" + b.condition);
    label(this.state, "class", "state c-" + b.condition);
    label(this.state.firstChild.firstChild, "href", "#i-" + b.condition);
    write(this.word, CONDITIONS[b.condition]);
    label(this.since, "datetime", new Date(b.since * 1000).toISOString());
    label(this.since, "title", "since " + new Date(b.since * 1000).toLocaleString());
    const reason = why(b);
    write(this.whyText, reason);
    this.why.hidden = reason === "";
    this.showMeasures(stands(b));
    this.showCalls(b);
    write(this.policy, origin(policy));
    write(this.wrong, wrong(policy).length ? "a document is not in force" : "");
    this.tick(now);
    if (this.details) this.showDetails();
  }

  tick(now) {
    write(this.since, "for " + span(now - this.seen.since));
    write(this.next, next(this.seen, now));
    this.next.hidden = this.next.textContent === "";
  }

  showMeasures(lines) {
    while (this.measures.childElementCount > lines.length) this.measures.lastChild.remove();
    while (this.measures.childElementCount < lines.length) {
      const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("i"));
      this.measures.append(make("div", { class: "measure" }, make("span"), make("span", { class: "said" }), bar));
    }
    lines.forEach(([name, text, part], i) => {
      const [title, value, bar] = this.measures.children[i].children;
      write(title, name);
      write(value, text);
      const helps = name === "let through" || name.startsWith("probes");
      label(bar, "class", "bar" + (helps ? "" : part >= 1 ? " over" : part >= 0.5 ? " near" : ""));
      bar.firstChild.style.width = Math.min(1, part) * 100 + "%";
    });
  }

  showCalls(b) {
    write(this.rate, b.recent ? rate(b.recent.calls_per_second) + " /s" : "…");
    write(this.shares, outcomes(b));
    const shares = b.recent ? b.recent.shares : {};
    const parts = [shares.success, shares.failure, shares.rejected, (shares.ignored || 0) + (shares.late || 0)];
    [...this.stack.children].forEach((element, i) => { element.style.width = (parts[i] || 0) * 100 + "%"; });
    if (b.line) this.draw(b.line);
  }

  // The line of all calls, and below it, from the ground up, those that were rejected and those that failed.
  draw(line) {
    const known = line.calls.filter((value) => value !== null);
    const most = Math.max(1, ...known);
    const y = (value) => (20 - (19 * value) / most).toFixed(2);
    const paths = { turned: "", failed: "", all: "" };
    let begun = false;
    line.calls.forEach((value, x) => {
      if (value === null) { begun = false; return; }
      paths.all += (begun ? "L" : "M") + x + " " + y(value);
      begun = true;
      const rejected = line.rejected[x], failed = line.failures[x];
      const column = (from, to) => `M${x - 0.5} ${y(from)}H${x + 0.5}V${y(to)}H${x - 0.5}z`;
      if (rejected > 0) paths.turned += column(0, rejected);
      if (failed > 0) paths.failed += column(rejected, rejected + failed);
    });
    for (const [kind, path] of Object.entries(paths)) label(this.drawing.querySelector("." + kind), "d", path);
  }

  toggle() {
    if (this.details) {
      this.details.remove();
      this.details = null;
    } else {
      this.sheet = make("div", { class: "sheet" });
      this.details = make("tr", { class: "details", role: "row" }, make("td", { role: "cell", colspan: "6" }, this.sheet));
      this.element.after(this.details);
      this.showDetails();
    }
    this.button.setAttribute("aria-expanded", String(Boolean(this.details)));
  }

  showDetails() {
    const b = this.seen, policy = this.seenPolicy;
    const parts = detailsOf(b, policy);
    const key = JSON.stringify(parts);
    if (key === this.detailsKey && this.sheet.childElementCount) return;
    this.detailsKey = key;
    const buttons = this.sheet.querySelector(".buttons");
    const blocks = parts.map(([title, content]) => {
      const heading = make("h3", {}, title);
      if (typeof content === "string") return make("section", { class: "wide" }, heading, make("pre", { tabindex: "0" }, content));
      const list = make("dl");
      for (const [name, value, from] of content) {
        const said = make("dd", {}, String(value));
        if (from) said.append(" ", make("small", {}, from));
        list.append(make("dt", {}, name), said);
      }
      return make("section", {}, heading, list);
    });
    const keep = buttons ? buttons.parentElement : this.actions ? this.makeButtons() : null;
    for (const each of [...this.sheet.children]) if (each !== keep) each.remove();
    if (keep && keep.parentElement !== this.sheet) this.sheet.prepend(keep);
    this.sheet.append(...blocks);
  }

  makeButtons() {
    const buttons = make("p", { class: "buttons" });
    const add = (text, action) => {
      const button = make("button", { type: "button" }, text);
      button.addEventListener("click", () => this.actions(this.name, text, action));
      buttons.append(button);
    };
    add("Force open", { action: "override", mode: "forced_open" });
    add("Disable", { action: "override", mode: "disabled" });
    add("Shadow", { action: "override", mode: "shadow" });
    add("Clear override", { action: "override", mode: null });
    add("Reset", { action: "reset" });
    return make("section", { class: "wide" }, make("h3", {}, "Change it in this process"), buttons);
  }
}

// [title, text] or [title, [[name, value, where it is from], …]]
function detailsOf(b, policy) {
  const parts = [];
  if (b.last_error) parts.push(["Last error", b.last_error]);
  for (const each of wrong(policy)) parts.push([each.key + " @" + each.revision + " is not in force", each.error]);
  parts.push(["State", [
    ["state", b.state], ["why", b.reason === null ? "it is the first" : REASONS[b.reason]], ["since", clock(b.since)],
    ["mode", MODES[b.mode] + (b.override === null ? "" : ", by an operator")],
    ...Object.entries(b.state_seconds).map(([state, spent]) => ["in " + state, span(spent)]),
  ]]);
  const t = b.totals;
  const reasons = Object.entries(t.rejected_by_reason).filter(([, n]) => n > 0);
  parts.push(["Calls since it was made", [
    ...KINDS.map(([kind, word]) => [word, count(t[kind])]), ...reasons.map(([reason, n]) => ["rejected: " + reason, count(n)]),
  ]]);
  parts.push(["Rules", [
    ...Object.entries(b.measures).filter(([, m]) => m).map(([name, m]) => [name.replaceAll("_", " "),
      said(m, name.endsWith("_rate") || name.endsWith("_share") ? percent : count)]),
    ["calls in the window", count(b.window.calls)], ["slow in flight", count(b.window.slow_calls_in_flight)],
    ["openings", count(t.openings)], ["probes overdue", count(t.overdue)],
  ]]);
  const words = (value) => value === null ? "off" : typeof value === "object" ? Object.entries(value).flat().join(" ") : value;
  parts.push(["Policy", Object.entries(policy.fields).map(([key, value]) => [key, words(value), short(policy.from[key])])]);
  if (policy.documents.length) parts.push(["Documents", policy.documents.map((each) => [each.key, "@" + each.revision])]);
  return parts;
}

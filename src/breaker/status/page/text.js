"use strict";
// Numbers and words: from what GET breakers shows to what people read. Nothing here touches the page.

const CONDITIONS = {
  open: "Open", forced_open: "Forced open", half_open: "Half open", recovering: "Recovering",
  would_have_opened: "Would be open", strained: "Strained", disabled: "Disabled", shadow: "Shadow", closed: "Closed",
};
const REASONS = {
  tripped: "failures in a row", failure_rate: "failure rate", slow_call_rate: "slow calls", timeout: "the open timeout is over",
  probe_failed: "a probe failed", inconclusive: "probes were inconclusive", recovered: "probes succeeded",
  reset: "reset", policy: "another policy",
};
const MODES = { auto: "automatic", forced_open: "forced open", disabled: "disabled", shadow: "shadow" };
const KINDS = [["success", "ok"], ["failure", "failed"], ["rejected", "rejected"], ["ignored", "ignored"], ["late", "late"]];

function percent(part) {
  const value = part * 100;
  return (value > 0 && value < 1 ? "<1" : value > 99 && value < 100 ? ">99" : value.toFixed(0)) + " %";
}

function count(value) {
  return Math.round(value).toLocaleString("en").replaceAll(",", "\u202f");
}

function rate(value) {
  return value === 0 ? "0" : value < 0.05 ? "<0.1" : value < 100 ? value.toFixed(1) : count(value);
}

function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 10) return s.toFixed(1) + " s";
  if (s < 60) return Math.floor(s) + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + Math.floor(s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
}

function clock(seconds) {
  const at = new Date(seconds * 1000);
  const time = at.toLocaleTimeString("en-GB");
  return Date.now() - at > 43200000 ? at.toLocaleDateString("en-CA") + " " + time : time;
}

// Why it is as it is, for those in trouble.
function why(b) {
  if (b.condition === "forced_open") return by(b);
  if (b.condition === "open") return [REASONS[b.reason], b.last_error].filter(Boolean).join(" · ");
  if (b.condition === "half_open") return b.last_error || "";
  if (b.condition === "would_have_opened") return "a rule holds, and its calls run all the same: shadow, " + by(b);
  if (b.condition === "disabled" || b.condition === "shadow") return by(b);
  return "";
}

function by(b) {
  return b.override === null ? "by its policy" : "by an operator";
}

function said(measure, as) {
  return measure.value === null ? "too few calls" : as(measure.value) + " of " + as(measure.threshold);
}

// What the rules say now: [label, text, part of the threshold that is reached].
function stands(b) {
  const m = b.measures, lines = [];
  const add = (label, measure, as) => {
    if (measure) lines.push([label, said(measure, as), measure.value === null ? 0 : measure.value / measure.threshold]);
  };
  if (b.condition === "half_open") {
    add("probes that succeeded", m.probe_successes, count);
    add("probes in flight", m.probes_in_flight, count);
  } else if (b.condition === "recovering") {
    add("let through", m.recovery_share, percent);
  } else if (b.mode === "shadow" || (b.mode === "auto" && b.state === "CLOSED")) {
    add("failures in a row", m.consecutive_failures, count);
    add("failure rate", m.failure_rate, percent);
    add("slow calls", m.slow_call_rate, percent);
  }
  return lines;
}

// What comes next, and when: empty if nothing does by itself.
function next(b, now) {
  const left = b.until === null ? 0 : b.until - now;
  if (b.condition === "open") return left > 0 ? "probe in " + span(left) : "probe on the next call";
  if (b.condition === "recovering") return left > 0 ? "all calls in " + span(left) : "";
  if (b.condition === "forced_open") return "rejects all calls";
  if (b.condition === "disabled") return "judges no call";
  return "";
}

function outcomes(b) {
  if (!b.recent) return "";
  const shares = b.recent.shares;
  const parts = KINDS.filter(([kind]) => shares[kind] >= 0.005);
  return parts.map(([kind, word]) => (percent(shares[kind]) + " " + word).replaceAll(" ", "\u00a0")).join(" · ") || "no calls";
}

function origin(policy) {
  const used = new Set(Object.values(policy.from).filter((key) => key !== null));
  const documents = policy.documents.filter((each) => used.has(each.key));
  return documents.map((each) => short(each.key) + "\u00a0@" + each.revision).join(", ") || "the program's";
}

function short(key) {
  return key === null ? "" : key === "default.json" ? "default" : "its own";
}

function wrong(policy) {
  return policy.documents.filter((each) => each.error !== null);
}

// One sentence for an event, or null if it is nothing to show.
function told(kind, e) {
  if (kind === "state_changed") {
    const error = e.to_state === "OPEN" && e.last_error ? ": " + e.last_error : "";
    return [e.name, CONDITIONS[e.to_state.toLowerCase()].toLowerCase() + ", " + REASONS[e.reason] + error];
  }
  if (kind === "mode_changed") return [e.name, "mode " + MODES[e.from_mode] + " → " + MODES[e.to_mode]];
  if (kind === "policy_updated") {
    const fields = Object.entries(e.changed).map(([key, [was, is]]) => key + " " + JSON.stringify(was) + " → " + JSON.stringify(is));
    return [e.name, "policy @" + e.revision + ": " + fields.join(", ")];
  }
  if (kind === "policy_rejected") return [e.key, "not in force: " + e.error];
  if (kind === "would_have_opened") return [e.name, "would have opened, " + REASONS[e.reason]];
  if (kind === "probe_overdue") return [e.name, "a probe is overdue"];
  if (kind === "source_lost") return ["policies", "cannot be read: " + e.error];
  if (kind === "source_regained") return ["policies", "are read again"];
  if (kind === "breaker_created") return [e.name, "created"];
  return null;
}

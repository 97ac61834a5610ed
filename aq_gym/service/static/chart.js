// The level as it was, and the fan of what the model expects.

import { SCALE, classOf, el, number, source, span, svg } from "./words.js";

const NORMAL = [-1.96, -1.2816, -0.6745, 0, 0.6745, 1.2816, 1.96]; // quantiles, as the outlook has them
const LEFT = 44, RIGHT = 108, TOP = 14, BOTTOM = 28;

export function drawChart(target, note, levels, outlook, now) {
  if (levels.length < 2) {
    target.replaceChildren(el("p", { class: "note" }, "The first readings are on their way."));
    return;
  }
  const width = Math.max(340, Math.round(target.clientWidth || 1200)), height = 250;
  const ahead = outlook ? outlook.forecast : [];
  const first = levels[0].slot, last = levels.at(-1).slot;
  const end = ahead.length ? ahead.at(-1).slot : last;
  const all = [...levels.map((x) => x.level), ...ahead.flatMap((x) => [x.values[0], x.values.at(-1)]), now.alert_level];
  const low = Math.max(0, Math.min(...all) * 0.9), high = Math.max(...all) * 1.06;
  const right = width < 480 ? 14 : RIGHT;
  const x = (slot) => LEFT + ((slot - first) / Math.max(end - first, 1)) * (width - LEFT - right);
  const y = (value) => TOP + (1 - (value - low) / (high - low)) * (height - TOP - BOTTOM);
  const path = (points) => "M" + points.map(([a, b]) => `${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("L");
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": summary(levels, ahead, now) });
  root.append(...classes(low, high, y, width, right), ...axes(low, high, first, last, end, x, y, width, height, right, now));
  const start = [last, levels.at(-1).level];
  const unsure = outlook?.model === "belief" ? now.level_deviation ?? 0 : 0; // of a level that is only believed
  const begin = NORMAL.map((z) => [last, Math.max(0, start[1] + z * unsure)]);
  for (const [name, a, b] of [["band95", 0, 6], ["band80", 1, 5], ["band50", 2, 4]]) {
    if (!ahead.length) break;
    const upper = ahead.map((f) => [f.slot, f.values[b]]), lower = ahead.map((f) => [f.slot, f.values[a]]).reverse();
    root.append(svg("path", { class: name, d: path([begin[a], begin[b], ...upper, ...lower]) + "Z" }));
  }
  if (ahead.length) root.append(svg("path", { class: "median", d: path([start, ...ahead.map((f) => [f.slot, f.values[3]])]) }));
  for (const known of stretches(levels)) root.append(svg("path", { class: "level-line", d: path(known.map((p) => [p.slot, p.level])) }));
  root.append(...limit(low, high, x(first), x(end), y, now.alert_level));
  root.append(svg("circle", { class: "now-dot", cx: x(last), cy: y(start[1]), r: 5 }));
  target.replaceChildren(root);
  hover(root, levels, ahead, x, y, first, end, width, height, now);
  note.textContent = `The fan holds 50, 80 and 95 % of what is expected. ${source(outlook)}`;
}

/** The levels in runs of slots without a gap: while the service was down nobody knew a level. */
function stretches(levels) {
  const runs = [];
  for (const point of levels) {
    if (runs.at(-1)?.at(-1).slot === point.slot - 1) runs.at(-1).push(point);
    else runs.push([point]);
  }
  return runs;
}

function summary(levels, ahead, now) {
  const values = levels.map((p) => p.level);
  const past = `Level now ${number(now.level)} µg/m³; between ${number(Math.min(...values))} and ${number(Math.max(...values))} in the last ${span(levels.at(-1).slot - levels[0].slot + 1, now.air_seconds)}.`;
  if (!ahead.length) return past;
  const f = ahead.at(-1);
  return `${past} In ${span(f.ahead, now.air_seconds)}: ${number(f.values[1])} to ${number(f.values[5])} with 80 % probability.`;
}

/** The classes as stripes on the right, with names. */
function classes(low, high, y, width, right) {
  if (right < 40) return [];
  let from = 0;
  const parts = [];
  for (const c of SCALE) {
    const a = Math.max(from, low), b = Math.min(c.upto, high);
    if (b > a) {
      parts.push(svg("rect", { class: "class-stripe", x: width - right + 4, width: 6, y: y(b), height: y(a) - y(b), fill: c.colour }));
      if (y(a) - y(b) > 14) parts.push(svg("text", { class: "faint", x: width - right + 15, y: (y(a) + y(b)) / 2 + 4 }, c.name));
    }
    from = c.upto;
  }
  return parts;
}

function axes(low, high, first, last, end, x, y, width, height, right, now) {
  const parts = [];
  const step = [1, 2, 5, 10, 20, 50, 100, 200].find((s) => (high - low) / s <= 6) ?? 500;
  for (let v = Math.ceil(low / step) * step; v < high; v += step) {
    parts.push(svg("line", { class: "grid", x1: LEFT, x2: width - right, y1: y(v), y2: y(v) }));
    parts.push(svg("text", { class: "faint", x: LEFT - 8, y: y(v) + 4, "text-anchor": "end" }, v));
  }
  const perHour = 3600 / now.air_seconds, hours = (end - first) / perHour;
  const every = [0.5, 1, 2, 3, 6, 12].find((h) => hours / h <= (width < 600 ? 5 : 10)) ?? 24;
  for (let h = Math.ceil((first - last) / perHour / every) * every; h <= (end - last) / perHour; h += every) {
    const text = h === 0 ? "now" : `${h > 0 ? "+" : "−"}${Math.abs(h)} h`;
    const at = x(last + h * perHour);
    if (h !== 0 && Math.abs(at - x(last)) < 34) continue;
    parts.push(svg("text", { class: "faint", x: at, y: height - 8, "text-anchor": at > width - 20 ? "end" : "middle" }, text));
  }
  parts.push(svg("line", { class: "now-line", x1: x(last), x2: x(last), y1: TOP, y2: height - BOTTOM }));
  return parts;
}

function limit(low, high, left, right, y, level) {
  if (level <= low || level >= high) return [];
  return [
    svg("line", { class: "limit", x1: left, x2: right, y1: y(level), y2: y(level) }),
    svg("text", { class: "limit-text", x: left + 6, y: y(level) - 5 }, `alert level ${level}`),
  ];
}

/** The values under the pointer. */
function hover(root, levels, ahead, x, y, first, end, width, height, now) {
  const line = svg("line", { class: "cursor-line", y1: TOP, y2: height - BOTTOM });
  const text = svg("text", {}), box = svg("rect", { rx: 6, height: 24, y: 2 });
  const tip = svg("g", { class: "tip", visibility: "hidden" }, line, box, text);
  root.append(tip);
  root.addEventListener("pointerleave", () => tip.setAttribute("visibility", "hidden"));
  root.addEventListener("pointermove", (event) => {
    const at = ((event.clientX - root.getBoundingClientRect().left) / root.getBoundingClientRect().width) * width;
    const slot = Math.round(first + ((at - LEFT) / (x(end) - LEFT)) * (end - first));
    const past = levels.find((p) => p.slot === slot), f = ahead.find((p) => p.slot === slot);
    tip.setAttribute("visibility", past || f ? "visible" : "hidden");
    if (!past && !f) return;
    text.textContent = past
      ? `slot ${slot}: ${number(past.level)} (${classOf(past.level).name})`
      : `slot ${slot}: ${number(f.values[3], 0)}, 80 %: ${number(f.values[1], 0)} to ${number(f.values[5], 0)}`;
    const long = text.textContent.length * 6.6 + 16;
    const left = Math.min(Math.max(x(slot) - long / 2, 0), width - long);
    for (const name of ["x1", "x2"]) line.setAttribute(name, x(slot));
    box.setAttribute("x", left);
    box.setAttribute("width", long);
    text.setAttribute("x", left + 8);
    text.setAttribute("y", 18);
  });
}

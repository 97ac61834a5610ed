// Small helpers, the colour scale, and reasons in words.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; texts are never taken for HTML. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
  }
  node.append(...children.flat().filter((x) => x !== null && x !== undefined && x !== false));
  return node;
}

const HELD = "a, button, input, select, [tabindex]";

/** Draw anew, with the focus and what was scrolled as they were. */
export function paint(target, ...nodes) {
  const before = [...target.querySelectorAll(HELD)];
  const focus = before.indexOf(document.activeElement);
  const scrolled = before.map((x) => [x.scrollLeft, x.scrollTop]);
  target.replaceChildren(...nodes);
  const after = target.querySelectorAll(HELD);
  scrolled.forEach(([left, top], k) => after[k]?.scrollTo(left, top));
  if (focus >= 0) after[focus]?.focus({ preventScroll: true });
}

export const number = (x, digits = 1) =>
  x === null || x === undefined ? "–" : x.toFixed(digits).replace("-", "−");

// Upper ends of the US EPA's classes for PM2.5 [µg/m³], 2024: the one scale of map, chart and headline. For the values of
// single slots it is a scale of colours alone: one slot is no index.
export const STANDARD = "US EPA";
export const SCALE = [
  { upto: 9, name: "Good", symbol: "○", colour: "#1fa35b" },
  { upto: 35.4, name: "Moderate", symbol: "◔", colour: "#f2cf1d" },
  { upto: 55.4, name: "Sensitive groups", symbol: "◑", colour: "#f58a1f" },
  { upto: 125.4, name: "Unhealthy", symbol: "◕", colour: "#dc2f2f" },
  { upto: 225.4, name: "Very unhealthy", symbol: "●", colour: "#8f3f97" },
  { upto: Infinity, name: "Hazardous", symbol: "✖", colour: "#7e0023" },
];

export const classOf = (value) => SCALE.find((x) => value <= x.upto);

const rgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));

/** Black or white, whichever can be read on a colour (WCAG's contrast). */
export function inkOn(hex) {
  const [r, g, b] = rgb(hex).map((x) => ((x /= 255) <= 0.04 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.2 ? "#10161d" : "#ffffff";
}

/** Between colours at 0, 1/n, ..., 1. */
export function blend(colours, share) {
  const at = Math.min(Math.max(share, 0), 1) * (colours.length - 1);
  const k = Math.min(Math.floor(at), colours.length - 2);
  const [a, b] = [rgb(colours[k]), rgb(colours[k + 1])];
  return "#" + a.map((x, i) => Math.round(x + (b[i] - x) * (at - k)).toString(16).padStart(2, "0")).join("");
}

export const shortName = (device) => {
  const name = device.replace(/^device_/, "D");
  return name.length > 9 ? name.slice(0, 8) + "…" : name;
};

/** Air's time that some slots stand for. */
export function span(slots, airSeconds) {
  const seconds = Math.abs(slots) * airSeconds, minutes = Math.round(seconds / 60);
  if (seconds < 60) return `${+seconds.toFixed(1)} s`;
  if (minutes < 90) return `${minutes} min`;
  return `${(minutes / 60).toFixed(minutes % 60 ? 1 : 0)} h`;
}

/** Since when nobody reports, where every device owes a report; "" while reports come. */
export function silence(now) {
  const newest = Math.max(...now.devices.map((x) => x.last_report ?? -1));
  const owing = now.devices.every((x) => x.stale || x.lost > 0);
  return owing && newest >= 0 ? span(now.slot - newest, now.air_seconds) : "";
}

/** When a device senses next. */
export function wakeUp(device, now) {
  if (device.stale) return "when it reports again";
  if (device.sense) return "now";
  const ahead = device.wake_by - now.slot;
  if (device.energy === 0) return `with the new budget, in ${span(ahead, now.air_seconds)}`;
  return ahead <= 1 ? "in the next slot" : `within ${span(ahead, now.air_seconds)}`;
}

/** Energy against an even use of it, whose scarcity is 1. */
function thrift(scarcity) {
  if (scarcity > 1.1) return "its energy is short";
  if (scarcity < 0.9) return "it has energy to spare";
  return "its energy is on course";
}

/** Why the agent decided so. */
export function why(device, now) {
  if (device.decrease === null) return "Nobody planned in this slot: the service was not running.";
  const gain = device.decrease > 0.005
    ? `A reading now lowers the map's error by ${number(device.decrease, 2)} µg/m³`
    : "A reading now does not lower the map's error";
  const energy = `${thrift(device.scarcity)} (scarcity ${number(device.scarcity, 2)})`;
  if (device.stale) return `It missed ${device.lost > 1 ? `${device.lost} scheduled reports in a row` : "a scheduled report"}, so the plan does without it until it reports again.`;
  if (device.forced && now.cycle_slot === 0) return "A new budget begins: every device reports once.";
  if (device.forced && device.sense) return "It has slept as long as it may, so it must report.";
  if (!device.sense && device.energy === 0) return "It has no energy left in this budget.";
  const lost = device.lost ? "Its last report got lost. " : "";
  if (!device.sense) return `${lost}${gain}; ${energy}. It waits for a slot that is worth more.`;
  if (device.scarcity < 0.9) return `${gain}; ${energy}, which is lost when the budget ends.`;
  return `${gain}, and ${energy}: worth it.`;
}

/** How far off the area's level may be, where it is believed from reports alone. */
export const doubt = (now) => (now.inference === "hidden" && now.level_deviation >= 0.05 ? `± ${number(now.level_deviation)} ` : "");

/** Which model made a forecast, and what its intervals are worth. */
export function source(outlook) {
  if (!outlook) return "";
  if (outlook.model === "belief") return "From the last report and its age, by the network's belief about the level; its intervals were fitted to readings.";
  if (outlook.model === "chain") return "From the present level by the network's Markov chain; the intervals are the model's own.";
  const worth = outlook.model === "calibrated" ? "intervals are calibrated on past errors" : "intervals are the model's own";
  return `From the past levels by a trained forecaster (${outlook.model}); ${worth}.`;
}

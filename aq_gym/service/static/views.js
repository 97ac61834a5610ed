// The five views. Each draws itself into a section; `begin` is called when it is chosen.

import { HistoryTable } from "./history.js";
import { SCALE, STANDARD, classOf, doubt, el, inkOn, number, paint, shortName, silence, source, span, svg, wakeUp, why } from "./words.js";

const ALERTS = 6; // that are shown
const card = (title, ...rest) => el("section", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, title)), ...rest);
const fact = (name, value, small = "") => el("div", {}, el("dt", {}, name), el("dd", {}, value, " ", el("small", {}, small)));
const facts = (...all) => el("dl", { class: "facts" }, ...all);
const head = (...names) => el("thead", {}, el("tr", {}, ...names.map((x) => el("th", { scope: "col" }, x))));
const table = (header, rows) => el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table" }, el("table", {}, header, el("tbody", {}, ...rows)));
const row = (...cells) => el("tr", {}, ...cells.map((x) => el("td", {}, x)));

/** An answer that is asked for at most once in a while: it changes slowly. */
function rarely(path, pause) {
  let found = null, when = -Infinity;
  return async (ask) => {
    if (performance.now() - when >= pause) {
      found = await ask(path).catch((error) => ({ problem: error.message }));
      when = performance.now();
    }
    return found;
  };
}
const health = rarely("health", 1000), report = rarely("report", 3000);

function levelFacts(now) {
  const old = silence(now);
  const energy = now.devices.reduce((sum, x) => sum + x.energy, 0) / (now.devices.length * now.energy_budget);
  return facts(
    fact("Level of the area", number(now.level), now.level === null ? "no reading yet" : `${doubt(now)}µg/m³${old ? `; read ${old} ago` : " now"}`),
    fact("Map's error", number(now.promised_error), now.level === null ? "no reading yet" : "µg/m³ expected"),
    fact("Sensing now", `${now.devices.filter((x) => x.sense).length} of ${now.devices.length}`, "devices"),
    fact("Energy left", `${Math.round(100 * energy)} %`, `${Math.max(0, now.horizon - now.cycle_slot)} slots to go`),
  );
}

function badge(index, category, colour) {
  const box = el("div", { class: "badge" }, el("b", {}, index), el("small", {}, category));
  box.style.background = colour;
  box.style.color = inkOn(colour);
  return box;
}

async function citizen(target, { now, outlook }, ask) {
  const found = await health(ask);
  const hero = el("section", { class: "card" });
  if (now.level === null) hero.append(el("h2", {}, "No reading yet"), el("p", {}, "No device has reported so far, so nothing is known of the air."));
  else if (found.problem) hero.append(el("p", { class: "note" }, found.problem));
  else {
    const best = found.standards.find((x) => x.index !== null && x.standard === STANDARD);
    if (best) {
      hero.append(el("div", { class: "hero" }, badge(best.index, `AQI ${SCALE[best.level - 1].symbol}`, SCALE[best.level - 1].colour), el("div", {},
        el("h2", {}, best.category),
        el("p", {}, best.advice),
        el("p", { class: "muted" }, `${best.standard} ${best.edition}; ${best.average} ${number(best.concentration)} µg/m³`))));
    } else {
      const c = classOf(now.level);
      hero.append(el("div", { class: "hero" }, badge(number(now.level, 0), silence(now) ? "µg/m³" : "µg/m³ now", c.colour), el("div", {},
        el("h2", {}, "No index yet"), el("p", {}, `An index is made of averages over hours; ${found.standards[0].reason}. The colour is the ${STANDARD} class of this one value.`))));
    }
  }
  if (now.level !== null && silence(now)) hero.append(el("p", { class: "note" }, `No device has reported for ${silence(now)}. What is shown is inferred from older reports.`));
  const standards = [...new Set((found.standards ?? []).map((x) => x.standard))].map((name) => standardCard(name, found.standards.filter((x) => x.standard === name)));
  paint(target, hero, levelFactsCard(now), ...around(now, outlook), ...standards);
}

/** The indices of one standard, in its own classes and colours. */
function standardCard(name, all) {
  const rows = all.map((x) => {
    if (x.index === null) return row(x.average, "–", x.reason);
    const ours = name === STANDARD, { symbol, colour } = SCALE[x.level - 1]; // its colours differ a little from the page's, their order does not
    const chip = el("span", { class: "chip" }, `${symbol} ${x.category}`);
    chip.style.background = ours ? colour : x.colour;
    chip.style.color = inkOn(ours ? colour : x.colour);
    return row(x.average, String(x.index), chip);
  });
  const use = name === STANDARD ? "The headline, the map and the chart use its classes." : "Another scale: its classes and colours are not those of the map.";
  return card(`By ${name} ${all[0].edition}`, table(head("Average", "Index", "Class"), rows),
    el("p", { class: "note" }, `${use} Computed from hourly means of the area's level, never from a single slot.`));
}

/** What comes, and where the air is better, in words. */
function around(now, outlook) {
  if (!outlook || !now.locations.length) return [];
  const last = outlook.forecast.at(-1), sorted = [...now.locations].sort((a, b) => a.mean - b.mean);
  const likely = last.exceedance > 0.5 ? "likely" : last.exceedance > 0.2 ? "possible" : "unlikely";
  const list = (title, places) => el("div", {}, el("h3", {}, title), el("ol", {}, ...places.map((x) =>
    el("li", {}, `${x.name}: ${number(x.mean, 0)}${x.standard_deviation >= 0.5 ? ` ± ${number(x.standard_deviation, 0)}` : ", measured"}`))));
  return [card("Next, and nearby",
    el("p", { class: "say" }, `In ${span(last.ahead, now.air_seconds)} the level is probably between ${number(last.values[1], 0)} and ${number(last.values[5], 0)} µg/m³. `,
      `More than ${now.alert_level} is ${likely} (${Math.round(100 * last.exceedance)} %).`),
    el("div", { class: "places" }, list("Cleanest air now", sorted.slice(0, 3)), list("Worst air now", sorted.slice(-3).reverse())))];
}

const levelFactsCard = (now) => card("Right now", levelFacts(now));

async function planner(target, { now, outlook }) {
  if (!outlook) return paint(target, card("Forecast", el("p", { class: "note" }, "No reading yet.")));
  const chosen = outlook.forecast.filter((x) => [1, 3, 6, 12, 18].includes(x.ahead));
  const last = outlook.forecast.at(-1);
  const difference = last.values[3] - outlook.level;
  const word = Math.abs(difference) < 2 ? "about the same" : difference > 0 ? "rising" : "falling";
  const rows = chosen.map((f) => el("tr", {},
    el("td", {}, `+${span(f.ahead, now.air_seconds)}`), el("td", {}, el("b", {}, number(f.values[3], 0))),
    el("td", {}, `${number(f.values[1], 0)} – ${number(f.values[5], 0)}`),
    el("td", {}, `${number(f.values[0], 0)} – ${number(f.values[6], 0)}`),
    el("td", {}, chance(f.exceedance))));
  paint(target,
    card(`The next ${span(last.ahead, now.air_seconds)}`,
      facts(fact("Now", number(outlook.level), "µg/m³"),
        fact(`In ${span(last.ahead, now.air_seconds)}`, number(last.values[3], 0), word),
        fact(`Above ${now.alert_level}`, `${Math.round(100 * last.exceedance)} %`, "chance by then"))),
    card("Expected level",
      table(head("Ahead", "Median", "80 % interval", "95 % interval", `Chance above ${now.alert_level}`), rows),
      el("p", { class: "note" }, `µg/m³. ${source(outlook)}`)));
}

function chance(share) {
  const width = 100;
  return el("span", {}, svg("svg", { class: "bar", viewBox: `0 0 ${width} 8`, "aria-hidden": "true" },
    svg("rect", { class: "energy-back", width, height: 8 }),
    svg("rect", { class: share > 0.5 ? "energy-fill low" : "energy-fill", width: width * share, height: 8 })), ` ${Math.round(100 * share)} %`);
}

async function official(target, state, ask) {
  const found = await report(ask);
  if (found.problem) return paint(target, card("Daily report", el("p", { class: "note" }, found.problem)));
  const slope = found.trend.per_hour === null ? "" : `${found.trend.per_hour > 0 ? "+" : ""}${number(found.trend.per_hour, 2)} an hour`;
  const rows = found.hotspots.map((x) => row(x.name, `${number(x.mean)} ± ${number(x.standard_deviation)}`,
    (x.over_area >= 0 ? "+" : "") + number(x.over_area), el("span", { class: "chip plain" }, x.device ? `measured, ${shortName(x.device)}` : "inferred")));
  paint(target,
    card("The last 24 hours",
      facts(fact("Mean", number(found.mean), "µg/m³"), fact("Highest hour", number(found.highest), `${found.highest_hours_ago} h ago`),
        fact(`Above ${found.alert_level}`, `${found.exceedance_hours} h`, `of ${found.known_hours} known`), fact("Trend", found.trend.word, slope)),
      hourBars(found),
      el("div", { class: "buttons" }, el("a", { class: "button main", href: "/report" }, "Open the report to print"))),
    card("Hotspots", table(head("Place", "Mean, µg/m³", "Over the area", "How known"), rows)),
    card("Alerts", alerts(state.now)));
}

function hourBars(found) {
  const most = Math.max(found.highest, found.alert_level) * 1.15, width = 24 * 26, base = 122;
  const root = svg("svg", { viewBox: `0 0 ${width} 145`, class: "bars", role: "img", "aria-label": `Hourly means, oldest first: ${found.hours.map((x) => number(x, 0)).join(", ")}` });
  const texts = [];
  found.hours.forEach((x, k) => {
    const left = k * 26;
    if (x !== null) {
      const tall = (110 * x) / most;
      root.append(svg("rect", { class: x > found.alert_level ? "above" : "below", x: left + 2, width: 22, y: base - tall, height: tall, rx: 3 }));
    }
    texts.push(svg("text", { class: "faint", x: left + 13, y: base - (x === null ? 4 : (110 * x) / most + 4) }, number(x, 0)));
    if (k % 6 === 0 || k === 23) texts.push(svg("text", { class: "faint", x: left + 13, y: 140 }, `−${24 - k} h`));
  });
  const limit = base - (110 * found.alert_level) / most;
  root.append(svg("line", { class: "limit", x1: 0, x2: width, y1: limit, y2: limit }), ...texts);
  return root;
}

/** The newest ones, none cut in half; how many more there are. */
function alerts(now) {
  if (!now.alerts.length) return el("p", { class: "note" }, "Nothing to report.");
  const items = now.alerts.slice(0, ALERTS).map((x) =>
    el("li", {}, el("span", { class: "chip plain" }, x.kind), ` ${x.message} `, el("span", { class: "muted" }, x.slot === now.slot ? "now" : `${span(now.slot - x.slot, now.air_seconds)} ago`)));
  return el("div", {}, el("ul", { class: "alerts", "aria-label": "Alerts, newest first" }, ...items),
    now.alerts.length > ALERTS && el("p", { class: "note" }, el("a", { href: "/api/v1/alerts" }, "All alerts")));
}

function energyBar(device, now) {
  const share = device.energy / now.energy_budget, width = 100;
  return svg("svg", { class: "bar", viewBox: `0 0 ${width} 8`, role: "img", "aria-label": `energy ${device.energy} of ${now.energy_budget}` },
    svg("rect", { class: "energy-back", width, height: 8 }),
    svg("rect", { class: share <= 0.2 ? "energy-fill low" : "energy-fill", width: width * share, height: 8 }));
}

async function operator(target, { now }) {
  const silentFirst = [...now.devices].sort((a, b) => b.stale - a.stale);
  const items = silentFirst.map((x) => {
    const chip = x.stale ? ["chip bad", "✕ silent"] : x.sense ? ["chip on", "● senses now"] : ["chip plain", "sleeps"];
    const newest = x.last_report === null ? "never reported" : `${number(x.last_value)} µg/m³, ${x.last_report === now.slot ? "just now" : span(now.slot - x.last_report, now.air_seconds) + " ago"}`;
    const place = now.locations[x.location]?.name, at = place && place !== x.device ? `${place}. ` : "";
    return el("li", { "data-device": x.device },
      el("b", {}, x.device), el("span", {}, energyBar(x, now), el("br"), el("span", { class: "muted" }, `${x.energy} of ${now.energy_budget}`)),
      el("span", {}, el("span", { class: chip[0] }, chip[1]), x.sense ? "" : ` wakes ${wakeUp(x, now)}`, el("br"), el("span", { class: "muted" }, newest)),
      el("p", { class: "why" }, at, why(x, now)));
  });
  paint(target,
    card("Alerts", alerts(now)),
    card("What the agent decided, and why", levelFacts(now), el("ul", { class: "device-list" }, ...items)));
}

const historyTable = new HistoryTable();

export const VIEWS = {
  citizen: { draw: citizen },
  planner: { draw: planner },
  official: { draw: official },
  operator: { draw: operator },
  researcher: { draw: (target, state, ask) => historyTable.draw(target, state, ask), begin: () => historyTable.reset() },
};

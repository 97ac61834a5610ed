// The page: asks for the present slot, listens for changes, draws map, chart and the chosen view.

import { drawChart } from "./chart.js";
import { drawMap } from "./map.js";
import { VIEWS } from "./views.js";
import { span } from "./words.js";

const HISTORY = 72; // slots in the chart
const PAUSE = 300; // ms between two refreshes at least
const POLL = 5000; // ms, where the server sends no events
const state = { now: null, levels: [], outlook: null, mode: "level", view: "citizen" };
const $ = (id) => document.getElementById(id);

async function ask(path) {
  const answer = await fetch("/api/v1/" + path, { headers: { Accept: "application/json" } });
  const found = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(found.reason ?? answer.statusText), { status: answer.status });
  return found;
}

let busy = false, again = false;
async function refresh() {
  if (busy) return void (again = true);
  busy = true;
  try {
    const now = await ask("now");
    const newSlot = state.now?.slot !== now.slot;
    state.now = now;
    drawMap($("map"), $("legend"), now, state.mode);
    header(now);
    await history(now, newSlot);
    connection(true);
    await VIEWS[state.view].draw(state.sheet, state, ask);
  } catch (error) {
    if (error.status !== 503) console.error(error);
    connection(error.status === 503 ? error.message.split(";")[0] : false);
  }
  await new Promise((done) => setTimeout(done, PAUSE));
  busy = false;
  if (again) {
    again = false;
    refresh();
  }
}

/** The levels up to now: the newest came with the present slot, others are asked for where one was missed. */
async function history(now, newSlot) {
  if (state.levels.at(-1)?.slot > now.slot) state.levels = []; // another service answers here now
  const last = state.levels.at(-1)?.slot ?? -1;
  if (newSlot && now.slot > last + 1) state.levels.push(...(await ask(`levels?since=${last + 1}&limit=${HISTORY}`)).levels);
  const newest = state.levels.at(-1);
  if (now.level !== null && newest?.slot === now.slot) newest.level = now.level; // readings have come since
  else if (now.level !== null) state.levels.push({ slot: now.slot, level: now.level });
  state.levels = state.levels.filter((x) => x.slot > now.slot - HISTORY);
  state.outlook = now.outlook;
  drawChart($("chart"), $("chart-note"), state.levels, state.outlook, now);
}

function header(now) {
  const slot = span(1, now.air_seconds);
  const faster = now.slot_seconds < now.air_seconds ? `, shown in ${now.slot_seconds} s` : "";
  $("subtitle").textContent = `${now.locations.length || "–"} places, ${now.devices.length} devices; a slot is ${slot}${faster}`;
  $("slot").textContent = `slot ${now.slot}`;
  $("geojson").hidden = !now.degrees;
}

function connection(ok) {
  $("dot").className = ok === true ? "dot live" : "dot lost";
  $("connection").textContent = ok === true ? "live" : ok || "no connection; trying again";
}

/** Events say when to look again; while there are none, the page looks every few seconds. */
function listen() {
  const source = new EventSource("/api/v1/events");
  const timer = setInterval(() => source.readyState !== EventSource.OPEN && refresh(), POLL);
  for (const kind of ["plan", "reading"]) source.addEventListener(kind, refresh);
  source.addEventListener("error", () => {
    connection(false);
    if (source.readyState !== EventSource.CLOSED) return; // else the browser tries again by itself
    setTimeout(() => clearInterval(timer) ?? listen(), 6 * POLL);
  });
}

function show(view) {
  state.view = view in VIEWS ? view : "citizen";
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const chosen = tab.dataset.view === state.view;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  $("view").setAttribute("aria-labelledby", "tab-" + state.view);
  // each choice draws on a sheet of its own: an answer that comes late is drawn on one that is gone
  state.sheet = Object.assign(document.createElement("div"), { className: "sheet" });
  $("view").replaceChildren(state.sheet);
  VIEWS[state.view].begin?.();
  if (state.now) VIEWS[state.view].draw(state.sheet, state, ask).catch(console.error);
}

/** Arrow keys go round a group of buttons, as its role promises. */
function arrows(group, selector) {
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const all = [...group.querySelectorAll(selector)], at = all.indexOf(document.activeElement);
    const to = { Home: 0, End: all.length - 1 }[event.key] ?? (step && (at + step + all.length) % all.length);
    if (to === undefined || at < 0) return;
    event.preventDefault();
    all[to].focus();
    all[to].click();
  });
}

for (const tab of document.querySelectorAll("[role=tab]")) tab.addEventListener("click", () => (location.hash = tab.dataset.view));
const modes = document.querySelectorAll("[role=radio]");
for (const button of modes) {
  button.addEventListener("click", () => {
    state.mode = button.dataset.mode;
    for (const other of modes) {
      other.setAttribute("aria-checked", other === button);
      other.tabIndex = other === button ? 0 : -1;
    }
    if (state.now) drawMap($("map"), $("legend"), state.now, state.mode);
  });
}
arrows(document.querySelector("[role=tablist]"), "[role=tab]");
arrows(document.querySelector("[role=radiogroup]"), "[role=radio]");
addEventListener("hashchange", () => location.hash !== "#main" && show(location.hash.slice(1))); // #main: the skip link
addEventListener("resize", () => state.levels.length && drawChart($("chart"), $("chart-note"), state.levels, state.outlook, state.now));
show(location.hash.slice(1));
refresh().then(listen);

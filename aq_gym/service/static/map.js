// The map: every place at its coordinates, in metres; devices with their energy.

import { clearSpot, spread } from "./layout.js";
import { SCALE, STANDARD, blend, classOf, el, inkOn, number, shortName, svg, wakeUp } from "./words.js";

const EDGE = 56;
let WIDTH = 640, HEIGHT = 520; // of the drawing; smaller on a phone, so that its figures can be read
const DIVERGING = ["#2166ac", "#92c5de", "#f4f4f0", "#f4a582", "#b2182b"];
const SEQUENTIAL = ["#fff7e0", "#c7b0d8", "#7a5aa6", "#33205c"];

/** What a mode colours by, and how. */
function painter(mode, now) {
  const errors = now.locations.map((x) => x.joint_error);
  const widest = Math.max(1, ...now.locations.map((x) => Math.abs(x.mean - now.level)));
  const [least, most] = [Math.min(...errors), Math.max(...errors)];
  if (mode === "difference") {
    const colour = (x) => blend(DIVERGING, 0.5 + (x.mean - now.level) / (2 * widest));
    const text = (x) => {
      const rounded = Math.round(x.mean - now.level);
      return rounded === 0 ? "0" : (rounded > 0 ? "+" : "−") + Math.abs(rounded);
    };
    return { colour, text, widest };
  }
  if (mode === "error") {
    const colour = (x) => blend(SEQUENTIAL, (x.joint_error - least) / Math.max(most - least, 0.1));
    return { colour, text: (x) => x.joint_error.toFixed(1), least, most };
  }
  return { colour: (x) => classOf(x.mean).colour, text: (x) => x.mean.toFixed(0) };
}

/** Pixels of metres, the same in both directions, north up. Without coordinates places stand in rows. */
function projection(locations) {
  const edge = Math.min(EDGE, WIDTH / 10);
  const columns = Math.ceil(Math.sqrt(locations.length * 1.3));
  const known = locations.every((x) => x.east !== null);
  const at = (x) => (known ? [x.east, x.north] : [x.location % columns, -Math.floor(x.location / columns)]);
  const east = locations.map((x) => at(x)[0]), north = locations.map((x) => at(x)[1]);
  const [west, right, south, top] = [Math.min(...east), Math.max(...east), Math.min(...north), Math.max(...north)];
  const per = Math.min((WIDTH - 2 * edge) / Math.max(right - west, 1), (HEIGHT - 2 * edge) / Math.max(top - south, 1));
  const place = (x) => [
    WIDTH / 2 + (at(x)[0] - (west + right) / 2) * per,
    HEIGHT / 2 - (at(x)[1] - (south + top) / 2) * per,
  ];
  return { place, per, known };
}

export function drawMap(target, legend, now, mode) {
  if (!now.locations.length) {
    target.replaceChildren(el("p", { class: "note" }, "No device has reported yet."));
    return;
  }
  [WIDTH, HEIGHT] = target.clientWidth && target.clientWidth < 480 ? [400, 430] : [640, 520];
  const { place, per, known } = projection(now.locations);
  const paint = painter(mode, now);
  const devices = new Map(now.devices.map((x) => [x.location, x]));
  const many = now.locations.length > 120;
  const size = many ? 5 : WIDTH < 480 ? 12 : 14;
  const range = (values) => `${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)}`;
  const root = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label":
    `Map of ${now.locations.length} places, ${range(now.locations.map((x) => x.mean))} µg/m³; ` +
    `${now.locations.filter((x) => x.source === "measured").length} measured in this slot, the rest inferred` });
  if (known) root.append(...grid(per));
  const places = [...now.locations].sort((a, b) => devices.has(a.location) - devices.has(b.location));
  const real = places.map(place), spots = many ? real : spread(real, 2 * size + 2, [WIDTH, HEIGHT]);
  places.forEach((x, k) => root.append(svg("circle", { class: "halo", cx: spots[k][0], cy: spots[k][1], r: size + 1.4 * Math.min(x.standard_deviation, 15) })));
  const shift = spots.map(([left, top], k) => Math.hypot(left - real[k][0], top - real[k][1]));
  spots.forEach(([left, top], k) => shift[k] > size / 2 && root.append(svg("line", { class: "leader", x1: real[k][0], y1: real[k][1], x2: left, y2: top })));
  places.forEach((x, k) => {
    const [left, top] = spots[k], colour = paint.colour(x), device = devices.get(x.location);
    const group = svg("g", {}, svg("title", {}, tooltip(x, device, now)));
    if (device && device.sense) group.append(svg("circle", { class: "pulse", cx: left, cy: top, r: size + 4 }));
    group.append(x.source === "measured"
      ? svg("rect", { class: "measured", x: left - size, y: top - size, width: 2 * size, height: 2 * size, rx: 5, fill: colour })
      : svg("circle", { class: "inferred", cx: left, cy: top, r: size, fill: colour }));
    if (!many) {
      const value = svg("text", { class: "place-value", x: left, y: top + 4 }, paint.text(x));
      value.style.fill = inkOn(colour);
      group.append(value);
    }
    root.append(group);
  });
  const nameless = names(root, places, spots, size, devices, now);
  target.replaceChildren(root);
  const notes = [
    !known && "This network has no coordinates: places stand in rows, by their numbers. How far apart they are is not known.",
    Math.max(...shift) > size / 2 && `Places that would cover one another are moved apart${known ? `, by up to ${metres(Math.max(...shift) / per)}` : ""}.`,
    nameless > 0 && `${nameless} devices are drawn without their names, for want of room; the operator's view lists all.`,
  ];
  legend.replaceChildren(...notes.filter(Boolean).map((x) => el("p", { class: "note" }, x)), ...legendOf(mode, paint, now));
}

/** Names and energy of the devices: the silent and the sensing first, the others where there is room. How many have none. */
function names(root, places, spots, size, devices, now) {
  const found = places.flatMap((x, k) => (devices.has(x.location) ? [[devices.get(x.location), spots[k]]] : []));
  const first = (device) => 2 * device.stale + device.sense;
  found.sort(([a], [b]) => first(b) - first(a));
  const taken = spots.map(([left, top]) => [left, top, size, size]);
  let nameless = 0;
  for (const [device, spot] of found) {
    const name = shortName(device.device) + (device.stale ? " ✕" : device.sense ? " ●" : "");
    const width = Math.max(40, [...name].reduce((sum, x) => sum + (x > "\u2e7f" ? 11.5 : 6.8), 0)); // Chinese is wider
    const box = clearSpot(spot, size, width / 2 + 4, 13, taken, [WIDTH, HEIGHT]);
    if (box) {
      taken.push(box);
      root.append(...deviceMark(device, name, width, box[0], box[1] - 13, now));
    } else {
      nameless += 1;
      root.append(...energyBar(device, spot[0] - size, spot[1] + size - 4, 2 * size, 4, now));
    }
  }
  return nameless;
}

function tooltip(x, device, now) {
  const between = x.interval_90 ? `; 90 %: ${x.interval_90.map((end) => number(end)).join(" to ")}` : "";
  const first = `${x.name}: ${number(x.mean)} ± ${number(x.standard_deviation)} µg/m³${between}, ${x.source}`;
  const class_ = `${classOf(x.mean).name}; joint error ${number(x.joint_error)} µg/m³`;
  return device ? `${first}\n${class_}\n${device.device}: energy ${device.energy} of ${now.energy_budget}, wakes ${wakeUp(device, now)}` : `${first}\n${class_}`;
}

function deviceMark(device, name, width, left, top, now) {
  return [
    svg("rect", { class: "device-box", x: left - width / 2 - 4, y: top, width: width + 8, height: 26, rx: 6 }),
    svg("text", { class: "device-name", x: left, y: top + 13 }, name),
    ...energyBar(device, left - width / 2, top + 17, width, 5, now),
  ];
}

function energyBar(device, left, top, width, height, now) {
  const share = device.energy / now.energy_budget, shape = { x: left, y: top, height, rx: height / 2 };
  return [
    svg("rect", { class: "energy-back", width, ...shape }),
    svg("rect", { class: share <= 0.2 ? "energy-fill low" : "energy-fill", width: width * share, ...shape }),
  ];
}

const metres = (x) => (x >= 1000 ? `${+(x / 1000).toFixed(1)} km` : `${+x.toPrecision(2)} m`);

/** Lines every 100 m (or a rounder step), and a scale. */
function grid(per) {
  let step = 10 ** Math.floor(Math.log10(160 / per));
  step *= [5, 2, 1].find((x) => x * step * per <= 160) ?? 1;
  const lines = [];
  for (let x = (WIDTH / 2) % (step * per); x < WIDTH; x += step * per) lines.push(svg("line", { class: "grid", x1: x, x2: x, y1: 0, y2: HEIGHT }));
  for (let y = (HEIGHT / 2) % (step * per); y < HEIGHT; y += step * per) lines.push(svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y }));
  return [
    ...lines,
    svg("path", { class: "scale", d: `M16 ${HEIGHT - 22}v6h${step * per}v-6` }),
    svg("text", { class: "faint", x: 22, y: HEIGHT - 22 }, metres(step)),
    svg("path", { class: "scale", d: `M${WIDTH - 24} 40V16m-6 8l6 -8l6 8` }),
    svg("text", { class: "faint", x: WIDTH - 28, y: 54 }, "N"),
  ];
}

function legendOf(mode, paint, now) {
  const dot = (colour) => svg("svg", { viewBox: "0 0 18 18" }, svg("circle", { cx: 9, cy: 9, r: 7, fill: colour }));
  const entry = (mark, text) => el("span", {}, mark, text);
  let colours;
  if (mode === "difference") {
    colours = [entry(dot(DIVERGING[0]), `${paint.widest.toFixed(0)} below the area's level`), entry(dot(DIVERGING[2]), "as the area"), entry(dot(DIVERGING[4]), `${paint.widest.toFixed(0)} above`)];
  } else if (mode === "error") {
    colours = [entry(dot(SEQUENTIAL[0]), `joint error ${paint.least.toFixed(1)}`), entry(dot(SEQUENTIAL[3]), `${paint.most.toFixed(1)} µg/m³`)];
  } else {
    const present = new Set(now.locations.map((x) => classOf(x.mean)));
    colours = SCALE.filter((x) => present.has(x)).map((x) => entry(dot(x.colour), `${x.symbol} ${x.name}, ${x.upto === Infinity ? "above 225.4" : "up to " + x.upto}`));
  }
  if (mode === "level") colours.unshift(el("span", {}, `Colours: ${STANDARD} classes`));
  const shape = (node) => svg("svg", { viewBox: "0 0 18 18" }, node);
  return [
    ...colours,
    entry(shape(svg("rect", { x: 2, y: 2, width: 14, height: 14, rx: 3, class: "measured", fill: "transparent" })), "measured in this slot"),
    entry(shape(svg("circle", { cx: 9, cy: 9, r: 6, fill: "none", stroke: "currentColor" })), "inferred"),
    entry(shape(svg("circle", { cx: 9, cy: 9, r: 7.5, class: "halo" })), "ring: how unsure"),
    entry(shape(svg("rect", { x: 1, y: 6, width: 16, height: 6, rx: 3, class: "energy-fill" })), "device's energy"),
  ];
}

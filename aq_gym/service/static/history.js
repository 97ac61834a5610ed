// Readings page by page, with what they can be exported as.

import { classOf, el, number } from "./words.js";

const ROWS = 15;

export class HistoryTable {
  constructor() {
    this.filter = { device: "", since: null };
    this.reset();
  }

  /** Forget the page; the next drawing starts anew. */
  reset() {
    this.cursors = [""];
    this.box = null;
  }

  query(more = {}) {
    const all = { device: this.filter.device, since: this.first, ...more };
    return new URLSearchParams(Object.entries(all).filter(([, x]) => x !== "" && x !== null)).toString();
  }

  async draw(target, { now }, ask) {
    if (this.box?.isConnected) return; // a table that is being read stays as it is
    this.first = this.filter.since ?? Math.max(0, now.slot - 144);
    this.now = now;
    this.ask = ask;
    const device = el("select", { onchange: () => this.choose({ device: device.value }) },
      el("option", { value: "" }, "all"), ...now.devices.map((x) => el("option", { selected: x.device === this.filter.device }, x.device)));
    const since = el("input", { type: "number", min: 0, value: this.first, onchange: () => this.choose({ since: Math.max(0, Number(since.value)) }) });
    this.rows = el("tbody");
    this.back = el("button", { class: "button", onclick: () => this.turn(-1) }, "← Earlier");
    this.next = el("button", { class: "button", onclick: () => this.turn(1) }, "Later →");
    this.exports = el("div", { class: "buttons" });
    this.box = el("section", { class: "card" },
      el("div", { class: "card-head" }, el("h2", {}, "Readings")),
      el("div", { class: "filters" }, el("label", {}, "Device", device), el("label", {}, "From slot", since),
        el("button", { class: "button", onclick: () => this.choose({ since: null }) }, "Last 144 slots")),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Readings" }, el("table", { class: "tight" }, el("thead", {}, el("tr", {}, ...["Slot", "Time", "Device", "µg/m³", "Class of the value"].map((x) => el("th", { scope: "col" }, x)))), this.rows)),
      el("div", { class: "buttons" }, this.back, this.next));
    target.replaceChildren(this.box, el("section", { class: "card" },
      el("div", { class: "card-head" }, el("h2", {}, "Take it with you")), this.exports,
      el("p", { class: "note" }, "Up to 10,000 readings from the chosen slot on; the header X-Next names the cursor of the next page. The API is described at ", el("a", { href: "/openapi/openapi.json" }, "/openapi/openapi.json"), ".")));
    await this.load();
  }

  choose(change) {
    Object.assign(this.filter, change);
    this.first = this.filter.since ?? Math.max(0, this.now.slot - 144);
    this.cursors = [""];
    this.load();
  }

  turn(by) {
    if (by < 0) this.cursors.pop();
    else this.cursors.push(this.following);
    this.load();
  }

  async load() {
    const found = await this.ask(`history?${this.query({ limit: ROWS, cursor: this.cursors.at(-1) })}`);
    this.following = found.next;
    this.rows.replaceChildren(...found.readings.map((x) => el("tr", {}, ...[
      x.slot, x.time.replace("T", " ").replace("+00:00", ""), x.device, number(x.value, 2), classOf(x.value).name,
    ].map((text) => el("td", {}, String(text))))));
    if (!found.readings.length) this.rows.append(el("tr", {}, el("td", { colspan: 5 }, "No readings here.")));
    this.back.disabled = this.cursors.length < 2;
    this.next.disabled = !found.next;
    const all = this.query({ limit: 10000 });
    this.exports.replaceChildren(
      ...["csv", "parquet"].map((kind) => el("a", { class: "button", href: `/api/v1/history.${kind}?${all}`, download: `readings.${kind}` }, kind === "csv" ? "CSV" : "Parquet")),
      el("a", { class: "button", href: `/api/v1/history?${all}` }, "JSON"),
      this.now.degrees ? el("a", { class: "button", href: "/api/v1/map.geojson" }, "Map as GeoJSON") : el("a", { class: "button", href: "/api/v1/map" }, "Map as JSON"));
  }
}

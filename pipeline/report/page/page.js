"use strict";
// What all pages have in common. Texts of rows become text nodes and nothing else: no HTML is ever parsed here.
const DATA = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

/** Returns an element. attributes: strings, `true`, or functions for `onclick` and the like. children: nodes, texts. */
function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Returns an element of SVG. */
function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  for (const child of children.flat(4)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

/** A text of a row: apart from the direction of its surroundings, whatever marks it holds. */
const own = (text) => el("bdi", {}, String(text));

// Numbers and times

const WHOLE = new Intl.NumberFormat("en");
const CENTS = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const number = (value) => WHOLE.format(value);
const known = (value) => value !== null && value !== undefined;
const UNKNOWN = "not known";
const orUnknown = (value, format = number) => (known(value) ? format(value) : UNKNOWN);
const tally = (value) => (value < 1e6 ? number(value) : short(value));
const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

function money(amount, currency) {
  const digits = amount >= 10 || amount === 0 ? CENTS.format(amount) : String(Number(amount.toPrecision(4)));
  return currency ? `${digits} ${currency}` : digits;
}

function span(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${Number(seconds.toFixed(1))} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return `${minutes} min ${String(Math.round(seconds) % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

const utc = (seconds) => new Date(seconds * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC";
const clock = (seconds, fine) => new Date(seconds * 1000).toISOString().slice(11, fine ? 19 : 16);
const short = (value) =>
  value >= 1e6 ? `${Number((value / 1e6).toPrecision(3))}M` : value >= 1e4 ? `${Number((value / 1e3).toPrecision(3))}k` : number(Number(value.toPrecision(3)));

// Theme: as the system has it, until somebody chooses

const THEMES = ["auto", "light", "dark"];

function themeButton() {
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("theme") ?? "auto";
  } catch {
    // A page of a file may have no storage: the choice lasts as long as the page.
  }
  const button = el("button", { class: "plain small", type: "button", onclick: () => set(THEMES[(THEMES.indexOf(chosen) + 1) % 3]) });
  function set(theme) {
    chosen = THEMES.includes(theme) ? theme : "auto";
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    button.textContent = `Theme: ${chosen}`;
    try {
      localStorage.setItem("theme", chosen);
    } catch {
      // as above
    }
  }
  set(chosen);
  return button;
}

/** The head of a page. places: [id of a section, its name]. */
function pageHead(title, about, places) {
  return el("header", { class: "top" }, el("div", {},
    el("div", { class: "what" }, el("h1", {}, own(title)), el("p", { class: "muted small" }, about)),
    el("nav", { "aria-label": "Parts of this page" }, places.map(([id, name]) => el("a", { href: `#${id}` }, name)), themeButton())));
}

// Pieces

/** A table in a box that scrolls by itself. columns: [name, class]; rows: lists of nodes or texts. */
function table(label, columns, rows) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, el("table", {},
    el("thead", {}, el("tr", {}, columns.map(([name, kind]) => el("th", { scope: "col", class: kind }, name)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, place) => el("td", { class: columns[place][1] }, cell)))))));
}

/** Names with values, of which those that are not there are left out. */
function pairs(entries) {
  const there = entries.filter(([, value]) => known(value) && value !== "");
  if (!there.length) return null;
  return el("dl", { class: "pairs" }, there.map(([name, value]) => [el("dt", {}, own(name)), el("dd", {}, value instanceof Node ? value : own(value))]));
}

function tile(name, value, note) {
  return el("div", {}, el("dt", {}, name), el("dd", { class: value === UNKNOWN ? "none" : null }, value, note ? el("div", { class: "note" }, note) : null));
}

function choice(label, options, onchange) {
  const select = el("select", { class: "field", "aria-label": label, onchange: () => onchange(select.value) }, options.map(([value, name]) => el("option", { value }, name)));
  return select;
}

/** A command with a button that copies it. */
function command(text) {
  const code = el("code", {}, text);
  const button = el("button", { class: "plain small", type: "button", onclick: copy, "aria-label": `Copy: ${text}` }, "Copy");
  async function copy() {
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }
  return el("div", { class: "command" }, code, button);
}

// Pictures, with boxes over them

/** The picture of a row, or the reason why there is none. size: `small` or `large`. */
function shot(row, size, boxes) {
  const several = row.sources > 1 ? el("span", { class: "several" }, plural(row.sources, "file")) : null;
  if (!row.small) return el("div", { class: "shot" }, el("span", { class: "none" }, row.why ?? "no picture"), several);
  const source = size === "large" ? (row.large ?? row.small) : row.small;
  const image = el("img", { src: source, alt: size === "large" ? `The picture of ${row.id}` : "", decoding: "async", draggable: "false" });
  image.addEventListener("error", () => { if (image.getAttribute("src") !== row.small) image.src = row.small; });
  return el("div", { class: "shot" }, image, boxes ? boxLayer(row) : null, several);
}

/** The blocks of text that stand on the picture shown, in its pixels. Null if there are none. */
function boxLayer(row) {
  const shown = boxesOf(row);
  if (!shown.length || !row.width) return null;
  return svg("svg", { class: "boxes", viewBox: `0 0 ${row.width} ${row.height}`, preserveAspectRatio: "xMidYMid meet", "aria-hidden": "true" },
    shown.map(([text, , points]) => svg("polygon", { points: points.join(" ") }, svg("title", {}, text))));
}

const boxesOf = (row) => (row.blocks ?? []).filter(([, page]) => page <= 1);

// Dialog

const dialog = el("dialog", { "aria-label": "Detail" });
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

/** Shows the nodes in the page's one dialog. */
function show(...nodes) {
  dialog.replaceChildren(...nodes);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

// Charts

const WIDTH = 340, HEIGHT = 132, LEFT = 42, RIGHT = 6, TOP = 8, BOTTOM = 18;

/**
 * Stacked bars. series: [{name, kind, values}], a value for each place, null where it is not known. names: place → text.
 * note: what stands beside the title instead of the unit. axis: [[share of the width from 0 to 1, text]]. scale: what a value is divided by.
 */
function bars({ title, note, unit, series, names, axis, scale = 1, legend = series.length > 1 }) {
  const places = Math.max(1, ...series.map((line) => line.values.length));
  const sums = Array.from({ length: places }, (_, place) => series.reduce((sum, line) => sum + (line.values[place] ?? 0), 0) / scale);
  const most = ceiling(Math.max(...sums, 0));
  const step = (WIDTH - LEFT - RIGHT) / places;
  const wide = Math.min(step * 0.84, 44);
  const high = (value) => ((HEIGHT - TOP - BOTTOM) * value) / scale / most;
  const drawn = [];
  for (let place = 0; place < places; place += 1) {
    let top = HEIGHT - BOTTOM;
    for (const line of series) {
      const value = line.values[place];
      if (!value) continue;
      top -= high(value);
      const said = `${names(place)}: ${short(value / scale)} ${unit}${series.length > 1 ? `, ${line.name}` : ""}`;
      drawn.push(svg("rect", { class: `bar c-${line.kind}`, x: (LEFT + (place + 0.5) * step - wide / 2).toFixed(2), y: top.toFixed(2), width: wide.toFixed(2), height: Math.max(high(value), 0.5).toFixed(2), rx: Math.min(1.5, step / 6).toFixed(2) }, svg("title", {}, said)));
    }
  }
  const total = series.map((line) => `${line.name} ${short(line.values.reduce((sum, value) => sum + (value ?? 0), 0))}`).join(", ");
  return figure(title, legend ? series : [], `${title}: at most ${short(Math.max(...sums, 0))} ${unit}; in all: ${total}`, grid(most), axis, drawn, note ?? unit);
}

function grid(most) {
  return [0, 0.5, 1].map((share) => {
    const y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share;
    return [svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }), svg("text", { x: LEFT - 5, y: y + 3, "text-anchor": "end" }, short(most * share))];
  });
}

function figure(title, legend, label, lines, axis, drawn, note) {
  const marks = axis.map(([share, text]) => svg("text", { x: LEFT + (WIDTH - LEFT - RIGHT) * share, y: HEIGHT - 4, "text-anchor": share < 0.1 ? "start" : share > 0.9 ? "end" : "middle" }, text));
  return el("figure", { class: "chart" },
    el("figcaption", {}, el("strong", {}, title), legend.length ? legendOf(legend) : el("span", { class: "muted small" }, note)),
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, lines.flat(), marks, drawn));
}

const legendOf = (series) => el("span", { class: "legend" }, series.map((line) => el("span", { class: `c-${line.kind}` }, el("span", { class: "key" }, el("i")), line.name)));

/** A round number that is not below the value. */
function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((digit) => digit * power).find((round) => round >= value * 0.9999);
}

/** One line that shares a whole among its parts: [{name, kind, value}]. */
function share(label, parts) {
  const whole = parts.reduce((sum, part) => sum + part.value, 0);
  if (!whole) return null;
  let x = 0;
  const drawn = parts.filter((part) => part.value).map((part) => {
    const width = (1000 * part.value) / whole;
    x += width;
    return svg("rect", { class: `bar c-${part.kind}`, x: (x - width).toFixed(2), y: 0, width: Math.max(width - 2, 1).toFixed(2), height: 10 }, svg("title", {}, `${part.name}: ${number(part.value)}`));
  });
  const said = parts.filter((part) => part.value).map((part) => ({ ...part, name: `${part.name} ${number(part.value)}` }));
  return [svg("svg", { class: "share", viewBox: "0 0 1000 10", preserveAspectRatio: "none", role: "img", "aria-label": `${label}: ${said.map((part) => part.name).join(", ")}` }, drawn), legendOf(said)];
}

// Two sets of answers to the same rows, side by side. `DATA` comes from pipeline/run/compare_page.py.

const NAMES = { a: "A is better", b: "B is better", equal: "Equal", neither: "Neither" };
const KEYS = { a: "a", b: "b", e: "equal", n: "neither" };
const AT_ONCE = 30;

document.body.append(
  pageHead(`${DATA.job}: A and B`, [`made ${utc(DATA.made)}`], [["numbers", "Numbers"], ["rows", "Rows"]]),
  el("main", {}, numbers(), el("section", { id: "rows", "aria-labelledby": "rows-head" })),
  dialog,
);

function numbers() {
  const columns = [["", "nowrap"], ["A"], ["B"]];
  const sides = el("p", { class: "mono names" }, ["A: ", own(DATA.names[0])], el("br"), ["B: ", own(DATA.names[1])]);
  return el("section", { id: "numbers", "aria-labelledby": "numbers-head" },
    el("h2", { id: "numbers-head" }, "Both sides in numbers"),
    sides,
    table("Figures of A and B", columns, DATA.figures.map((row) => row.map(own))),
    el("p", { class: "muted small" }, DATA.shown < DATA.total ? `${number(DATA.shown)} of ${number(DATA.total)} rows shown, the most different first.` : `All ${plural(DATA.total, "row")} with both answers are in this page.`));
}

/** Picks of this comparison, kept by the browser as far as it keeps anything for a page of a file. */
class Picks {
  constructor() {
    this.made = Object.fromEntries(DATA.rows.filter((row) => row.pick).map((row) => [row.id, row.pick]));
    try {
      Object.assign(this.made, JSON.parse(localStorage.getItem(DATA.key) ?? "{}"));
    } catch {
      // Nothing is kept: picks last as long as the page.
    }
  }

  set(id, pick) {
    if (this.made[id] === pick) delete this.made[id];
    else this.made[id] = pick;
    try {
      localStorage.setItem(DATA.key, JSON.stringify(this.made));
    } catch {
      // as above
    }
  }

  csv() {
    const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
    return ["id,pick", ...Object.entries(this.made).map(([id, pick]) => `${quoted(id)},${pick}`)].join("\n") + "\n";
  }

  save() {
    const address = URL.createObjectURL(new Blob([this.csv()], { type: "text/csv" }));
    const link = el("a", { href: address, download: "picks.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }
}

class Rows {
  constructor(section) {
    this.picks = new Picks();
    this.asked = { text: "", pick: "", sort: "different" };
    this.status = el("p", { class: "muted small", role: "status" });
    this.list = el("ul", { class: "pairs-list", "aria-label": "Rows" });
    this.button = el("button", { class: "plain more", type: "button", onclick: () => this.more() }, "Show more");
    section.append(el("h2", { id: "rows-head" }, "Rows"), this.tools(), this.status, this.list, this.button);
    this.again();
  }

  tools() {
    this.search = el("input", { class: "field search", type: "search", placeholder: "Search (press /)", "aria-label": "Search in ids and answers", oninput: () => this.set({ text: this.search.value }) });
    const pick = choice("Pick", [["", "Any pick"], ["none", "Not picked"], ...Object.entries(NAMES)], (chosen) => this.set({ pick: chosen }));
    const sort = choice("Order", [["different", "Most different first"], ["alike", "Most alike first"], ["id", "By id"]], (chosen) => this.set({ sort: chosen }));
    const save = el("button", { class: "plain", type: "button", onclick: () => this.picks.save() }, "Save picks (CSV)");
    return el("div", { class: "tools", role: "search" }, this.search, pick, sort, save);
  }

  set(changes) {
    Object.assign(this.asked, changes);
    this.again();
  }

  again() {
    const words = this.asked.text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (row) => words.every((word) => `${row.id}\n${row.a.text}\n${row.b.text}`.toLowerCase().includes(word))
      && (!this.asked.pick || (this.picks.made[row.id] ?? "none") === this.asked.pick);
    this.found = DATA.rows.filter(fits);
    const alike = (row) => row.similarity ?? -1;
    if (this.asked.sort === "alike") this.found.reverse();
    if (this.asked.sort === "id") this.found.sort((one, other) => one.id.localeCompare(other.id, "en", { numeric: true }));
    if (this.asked.sort === "different") this.found.sort((one, other) => alike(one) - alike(other));
    this.shown = 0;
    this.list.replaceChildren();
    this.more();
  }

  more() {
    const next = this.found.slice(this.shown, this.shown + AT_ONCE);
    this.list.append(...next.map((row) => this.pair(row)));
    this.shown += next.length;
    this.button.hidden = this.shown >= this.found.length;
    this.count();
  }

  count() {
    const made = Object.values(this.picks.made);
    const tally = Object.entries(NAMES).map(([pick, name]) => [name, made.filter((own) => own === pick).length]).filter(([, count]) => count);
    this.status.replaceChildren(`${plural(this.found.length, "row")} found. `, tally.length ? `Picks: ${tally.map(([name, count]) => `${name.toLowerCase()} ${number(count)}`).join(", ")}.` : "Pick the better side with the buttons, or with a, b, e, n.");
  }

  pair(row) {
    const pressed = () => Object.keys(NAMES).forEach((pick) => buttons[pick].setAttribute("aria-pressed", String(this.picks.made[row.id] === pick)));
    const choose = (pick) => {
      this.picks.set(row.id, pick);
      pressed();
      this.count();
    };
    const buttons = Object.fromEntries(Object.entries(NAMES).map(([pick, name]) => [pick, el("button", { class: "plain small", type: "button", onclick: () => choose(pick) }, name)]));
    pressed();
    const open = el("button", { class: "link", type: "button", onclick: () => enlarge(row) }, own(row.id));
    const alike = known(row.similarity) ? el("span", { class: "muted small" }, `${Math.round(100 * row.similarity)} % alike`) : null;
    const keys = (event) => {
      if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      choose(KEYS[event.key]);
    };
    return el("li", { class: "pair", onkeydown: keys }, shot(row, "small", false), el("div", { class: "about" },
      el("div", { class: "row spread" }, el("h3", {}, open), alike),
      el("div", { class: "sides" }, side("A", row.a, row.b), side("B", row.b, row.a)),
      el("div", { class: "row", role: "group", "aria-label": `Pick for ${row.id}` }, Object.values(buttons))));
  }
}

function side(letter, mine, other) {
  const fields = Object.entries(mine.fields).map(([name, value]) => [name, String(value) === String(other.fields[name]) ? value : el("mark", {}, own(value))]);
  return el("div", { class: "side" }, el("h4", {}, letter), el("p", { class: "answer" }, ...marked(mine.text, other.text)), pairs(fields), el("p", { class: "facts muted small" }, facts(mine)));
}

/** The text, with the words that the other text does not have in a mark. */
function marked(text, other) {
  const split = (whole) => whole.split(/(\s+|(?=[\u3400-\u9fff])|(?<=[\u3400-\u9fff]))/u).filter((part) => part);
  const left = new Map();
  for (const word of split(other)) left.set(word.toLowerCase(), (left.get(word.toLowerCase()) ?? 0) + 1);
  return split(text).map((word) => {
    const count = left.get(word.toLowerCase()) ?? 0;
    if (count) left.set(word.toLowerCase(), count - 1);
    return count || !word.trim() ? word : el("mark", {}, word);
  });
}

function facts(answer) {
  const tokens = [[answer.input_tokens, "in"], [answer.output_tokens, "out"]].filter(([count]) => known(count)).map(([count, where]) => `${number(count)} ${where}`);
  return [tokens.length ? `${tokens.join(", ")} tokens` : null, known(answer.cost) ? money(answer.cost, answer.currency) : null, known(answer.latency_ms) ? span(answer.latency_ms / 1000) : null].filter(known).join(" · ");
}

function enlarge(row) {
  show(
    el("div", { class: "bar-top" }, el("h2", {}, own(row.id)), el("button", { class: "plain small close", type: "button", onclick: () => dialog.close() }, "Close")),
    el("div", { class: "detail" }, shot(row, "large", false), el("div", {}, side("A", row.a, row.b), side("B", row.b, row.a))));
  dialog.setAttribute("aria-label", row.id);
}

const rows = new Rows(document.getElementById("rows"));
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !dialog.open && !event.target.closest("input, select, textarea")) {
    event.preventDefault();
    rows.search.focus();
  }
});

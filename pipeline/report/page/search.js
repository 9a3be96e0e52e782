// The rows that a search found, the nearest first. `DATA` comes from pipeline/run/search_page.py.

document.body.append(
  pageHead(DATA.job, [own(DATA.asked), ` · made ${utc(DATA.made)}`], []),
  el("main", {}, el("section", { "aria-labelledby": "rows-head" },
    el("h2", { id: "rows-head" }, `The ${plural(DATA.rows.length, "nearest row")}`),
    DATA.facts.map((fact) => el("p", { class: "muted small" }, own(fact))),
    DATA.rows.length ? el("ol", { class: "grid" }, DATA.rows.map(card)) : el("p", { class: "empty" }, "No row was found."))),
  dialog,
);

function card(row) {
  return el("li", { class: "card" }, shot(row, "small", false), el("div", { class: "about" },
    el("button", { class: "open", type: "button", onclick: () => enlarge(row) }, own(row.id)),
    pairs(Object.entries(row.fields).slice(0, 6)),
    el("p", { class: "facts" }, `score ${row.score.toFixed(3)}`)));
}

function enlarge(row) {
  const files = el("ul", { class: "mono" }, (row.source ?? []).map((source) => el("li", {}, own(source))));
  show(
    el("div", { class: "bar-top" }, el("h2", {}, own(row.id)), el("button", { class: "plain small close", type: "button", onclick: () => dialog.close() }, "Close")),
    el("div", { class: "detail" }, shot(row, "large", false), el("div", {}, el("p", {}, `score ${row.score.toFixed(6)}`), pairs(Object.entries(row.fields)), files)));
  dialog.setAttribute("aria-label", row.id);
}

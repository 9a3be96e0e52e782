// The report of one job: numbers, failures, rows. `DATA` comes from pipeline/run/report.py.

const STATES = { answered: "answered", shared: "shared", stale: "stale", failed: "failed" };
const PAGE = DATA.live ? 24 : 60;

document.body.append(
  pageHead(DATA.job, about(), [["numbers", "Numbers"], ["failures", `Failures (${number(DATA.totals.failed)})`], ["rows", "Rows"]]),
  el("main", {}, numbers(), failures(), el("section", { id: "rows", "aria-labelledby": "rows-head" })),
  dialog,
);

function about() {
  const newest = DATA.runs[0];
  const facts = [DATA.task, newest?.model ?? DATA.model, newest?.provider ?? DATA.provider, DATA.output, `${DATA.live ? "as of" : "made"} ${utc(DATA.made)}`];
  return facts.map((fact, place) => [place ? " · " : "", own(fact)]);
}

// The run in numbers

function numbers() {
  const totals = DATA.totals;
  const tokens = totals.unknown_token_attempts ? `${plural(totals.unknown_token_attempts, "answer")} without a count` : null;
  const tiles = [
    tile("Answered", number(totals.answered), totals.stale ? `${number(totals.stale)} to an earlier question` : null),
    totals.shared ? tile("Shared", number(totals.shared), "equal questions, bought once") : null,
    tile("Failed", number(totals.failed), totals.dismissed ? `${number(totals.dismissed)} more dismissed` : null),
    known(totals.remaining) ? tile("Remaining", number(totals.remaining), "not sent by the last run") : null,
    tile("Attempts", number(totals.attempts), totals.faults ? `${plural(totals.faults, "fault")} among them` : null),
    tile("Tokens in", orUnknown(totals.input_tokens, tally), known(totals.media_tokens) ? `${tally(totals.media_tokens)} of them for media` : tokens),
    tile("Tokens out", orUnknown(totals.output_tokens, tally), known(totals.output_tokens) ? tokens : null),
    ...costs(totals),
  ];
  const parts = [
    { name: "answered", kind: "answered", value: totals.answered },
    { name: "shared", kind: "shared", value: totals.shared },
    { name: "failed", kind: "failed", value: totals.failed },
    { name: "dismissed", kind: "dismissed", value: totals.dismissed },
    { name: "remaining", kind: "remaining", value: totals.remaining ?? 0 },
  ];
  return el("section", { id: "numbers", "aria-labelledby": "numbers-head" },
    el("h2", { id: "numbers-head" }, "The output in numbers"),
    el("dl", { class: "tiles" }, tiles),
    share("Rows by state", parts),
    runCharts(),
    runTable());
}

function costs(totals) {
  const paid = totals.spend.filter((entry) => known(entry.cost));
  if (!paid.length) return [tile("Cost", UNKNOWN, DATA.offline ? "the embedded service has no price" : null)];
  const unknown = totals.spend.reduce((sum, entry) => sum + entry.unknown_cost_attempts, 0);
  return paid.map((entry) => tile("Cost", money(entry.cost, entry.currency), unknown ? `and ${plural(unknown, "attempt")} of unknown cost` : null));
}

function runCharts() {
  if (!DATA.charts.length) return el("p", { class: "empty" }, "Nothing was sent yet.");
  const box = el("div", { class: "charts" });
  const draw = (place) => box.replaceChildren(...charts(DATA.charts[place]));
  const names = DATA.charts.map((run, place) => [place, `Run of ${utc(run.began)}, ${plural(run.attempts, "attempt")}`]);
  const picker = names.length > 1 ? choice("Run shown in the charts", names, (place) => draw(Number(place))) : el("span", { class: "muted small" }, names[0][1]);
  draw(0);
  return [el("div", { class: "row spread charts-head" }, el("h3", {}, "Over time (UTC)"), picker), box];
}

function charts(run) {
  const fine = run.ended - run.began < 600;
  const at = (place) => clock(run.began + place * run.step, fine);
  const time = { names: (place) => `from ${at(place)}`, axis: [[0, clock(run.began, fine)], [1, clock(run.began + run.answered_over_time.length * run.step, fine)]] };
  const each = run.step < 60 ? [run.step, "a second"] : [run.step / 60, "a minute"];
  const faults = Object.entries(run.faults_over_time).map(([name, values]) => ({ name, kind: name, values }));
  const tokens = [["in", "accent", run.input_tokens], ["out", "teal", run.output_tokens]].filter(([, , values]) => values.some(known));
  const found = [
    bars({ title: "Answers", unit: `answers ${each[1]}`, scale: each[0], series: [{ name: "answers", kind: "answered", values: run.answered_over_time }], ...time }),
    latency(run),
    bars({
      title: "Attempts a row took", unit: "rows", series: [{ name: "rows", kind: "violet", values: tries(run) }],
      names: (place) => plural(place + 1, "attempt"), axis: tries(run).map((_, place, all) => [(place + 0.5) / all.length, place === 5 ? "6+" : String(place + 1)]),
    }),
  ];
  if (faults.length) found.push(bars({ title: "Faults", unit: "attempts", series: faults, legend: true, ...time }));
  if (tokens.length) found.push(bars({ title: "Tokens", unit: `tokens ${each[1]}`, scale: each[0], series: tokens.map(([name, kind, values]) => ({ name, kind, values })), ...time }));
  if (run.cost.some(known)) found.push(bars({ title: `Cost${run.currency ? ` in ${run.currency}` : ""}`, unit: run.currency ?? "", series: [{ name: "cost", kind: "warn", values: run.cost }], ...time }));
  return found;
}

function tries(run) {
  const counts = Array.from({ length: Math.max(3, ...run.tries.map(([attempts]) => attempts)) }, () => 0);
  for (const [attempts, rows] of run.tries) counts[attempts - 1] = rows;
  return counts;
}

function latency(run) {
  const bins = run.latency.map(([bin]) => bin);
  const per = run.per_decade;
  const first = Math.floor(Math.min(...bins, 2 * per) / per) * per, last = Math.ceil((Math.max(...bins, first) + 1) / per) * per;
  const values = Array.from({ length: last - first }, () => 0);
  for (const [bin, count] of run.latency) values[bin - first] = count;
  const edge = (place) => span(10 ** ((first + place) / per) / 1000);
  const axis = [];
  for (let place = 0; place <= values.length; place += per) axis.push([place / values.length, edge(place)]);
  const [half, most, nearly] = run.quantiles ?? [];
  const note = known(half) ? `p50 ${span(half / 1000)} · p90 ${span(most / 1000)} · p99 ${span(nearly / 1000)}` : null;
  return bars({ title: "Latency", note, unit: "answers", series: [{ name: "answers", kind: "accent", values }], names: (place) => `${edge(place)} to ${edge(place + 1)}`, axis });
}

function runTable() {
  if (!DATA.runs.length) return null;
  const columns = [["Began", "nowrap"], ["Command"], ["Took", "number"], ["Sent", "number"], ["Answered", "number"], ["Failed", "number"], ["Remaining", "number"], ["Cost", "number"], ["Ended"]];
  const rows = DATA.runs.map((run) => [
    utc(run.started), run.command ?? "", known(run.finished) ? span(run.finished - run.started) : "", ...[run.sent, run.answered, run.failed, run.remaining].map((value) => orUnknown(value)),
    orUnknown(run.cost, (value) => money(value, run.currency)), known(run.exit_code) ? own(`exit ${run.exit_code}: ${run.stop_reason ?? ""}`) : "goes on, or was killed",
  ]);
  return el("details", { class: "runs" }, el("summary", {}, `Runs (${DATA.runs.length === 12 ? "the newest 12" : DATA.runs.length})`), table("Runs", columns, rows));
}

// Failures by reason

function failures() {
  const groups = DATA.failures;
  const more = DATA.failures_left_out ? el("p", { class: "muted small" }, `and ${DATA.failures_left_out} more kinds; pipeline status names them`) : null;
  return el("section", { id: "failures", "aria-labelledby": "failures-head" },
    el("h2", { id: "failures-head" }, "Failures by reason"),
    groups.length ? el("ul", { class: "reasons" }, groups.map(reason)) : el("p", { class: "empty" }, "No open failures."),
    more);
}

function reason(group) {
  return el("li", { class: `reason c-${group.fault}` },
    el("div", {}, el("div", { class: "row" }, el("span", { class: "number" }, `${number(group.rows)} ×`), el("span", { class: `tag c-${group.fault}` }, group.fault), el("strong", { class: "mono" }, own(group.code)),
        el("button", { class: "link small", type: "button", onclick: () => gallery.only(group) }, "Show these rows")),
      el("p", {}, own(group.message)),
      el("p", { class: "muted small" }, "Such as ", group.ids.map((id, place) => [place ? ", " : "", own(id)]))),
    el("div", {}, el("p", { class: "muted small" }, group.advice), group.commands.map(command)));
}

// Rows

/** Rows that are in the page: found here. */
class Kept {
  constructor(rows) {
    this.rows = rows;
    this.bySeq = new Map(rows.map((row) => [row.seq, row]));
    for (const row of rows) row.words = textOf(row).toLowerCase();
  }

  async find(asked) {
    const words = asked.text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (row) => words.every((word) => row.words.includes(word))
      && (!asked.state || row.state === asked.state || (asked.state === "answered" && row.state === "stale"))
      && (!asked.fault || row.fault === asked.fault) && (!known(asked.code) || row.code === asked.code)
      && Object.entries(asked.facets).every(([name, value]) => [row.fields[name]].flat().some((own) => known(own) && String(own) === value));
    const found = this.rows.filter(fits);
    const [key, falling] = ORDERS[asked.sort];
    if (key === "id") found.sort((one, other) => COLLATOR.compare(one.id, other.id));
    else found.sort((one, other) => byNumber(one[key], other[key], falling));
    return { rows: found.slice(asked.offset, asked.offset + asked.limit), total: found.length };
  }

  async near(row) {
    return (row.near ?? []).map(([seq, cosine]) => [this.bySeq.get(seq), cosine]).filter(([other]) => other);
  }
}

const COLLATOR = new Intl.Collator("en", { numeric: true });
const ORDERS = {
  seq: ["seq", false], id: ["id", false], newest: ["finished", true], cost: ["cost", true], output: ["output_tokens", true], input: ["input_tokens", true],
  latency: ["latency_ms", true], attempts: ["attempt_count", true],
};
const ORDER_NAMES = {
  seq: "As they arrived", id: "By id", newest: "Newest first", cost: "Highest cost", output: "Most tokens out", input: "Most tokens in", latency: "Slowest", attempts: "Most attempts",
};

function byNumber(one, other, falling) {
  if (!known(one) || !known(other)) return known(one) ? -1 : known(other) ? 1 : 0;
  return falling ? other - one : one - other;
}

function textOf(row) {
  return [row.id, row.text, row.fault, row.code, row.message, ...Object.values(row.fields ?? {}).flat(), ...(row.source ?? [])].filter(known).join("\n");
}

/** Rows of a server on this machine: found there, a page at a time. */
class Served {
  constructor() {
    this.bySeq = new Map();
  }

  async ask(path, values) {
    const reply = await fetch(`${path}?${new URLSearchParams(values)}`);
    if (!reply.ok) throw new Error(await reply.text());
    const found = await reply.json();
    for (const row of found.rows) this.bySeq.set(row.seq, row);
    return found;
  }

  find(asked) {
    const values = Object.entries(asked).filter(([name, value]) => name !== "facets" && known(value) && value !== "");
    return this.ask("rows", [...values, ...Object.entries(asked.facets).map(([name, value]) => [`field.${name}`, value])]);
  }

  async near(row) {
    const found = await this.ask("near", { seq: row.seq });
    return found.near.map(([seq, cosine]) => [this.bySeq.get(seq), cosine]);
  }
}

class Gallery {
  constructor(section) {
    this.store = DATA.live ? new Served() : new Kept(DATA.rows);
    this.asked = { text: "", by: "", state: "", fault: "", code: null, facets: {}, sort: "seq" };
    this.shown = [];
    this.turn = 0;
    this.section = section;
    this.status = el("p", { class: "muted small", role: "status" });
    this.cards = el("ul", { class: "grid", "aria-label": "Rows", onkeydown: (event) => this.walk(event) });
    this.button = el("button", { class: "plain more", type: "button", onclick: () => this.more() }, "Show more");
    section.append(el("h2", { id: "rows-head" }, "Rows"), this.tools(), this.status, this.cards, this.button);
    this.watch = new IntersectionObserver((entries) => { if (entries.at(-1).isIntersecting) this.more(); }, { rootMargin: "600px" });
    this.again();
  }

  tools() {
    let waiting = 0;
    this.search = el("input", { class: "field search", type: "search", placeholder: "Search (press /)", "aria-label": "Search in ids, texts and fields", oninput: () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.set({ text: this.search.value }), DATA.live ? 250 : 60);
    } });
    const any = (name) => [["", name]];
    const faults = [...new Set(DATA.failures.map((group) => group.fault))];
    this.state = choice("State", [...any("Any state"), ...Object.entries(STATES)], (state) => this.set({ state }));
    this.fault = faults.length ? choice("Fault", [...any("Any fault"), ...faults.map((fault) => [fault, fault])], (fault) => this.set({ fault, code: null })) : null;
    this.facets = DATA.facets.map(([name, values]) => choice(name, [...any(`${name}: any`), ...values.map((value) => [value, `${name}: ${value}`])], (value) => this.facet(name, value)));
    const by = DATA.search ? choice("How the search finds", [["", "By text"], ["meaning", "By meaning"]], (chosen) => this.set({ by: chosen })) : null;
    const sort = choice("Order", Object.entries(ORDER_NAMES), (chosen) => this.set({ sort: chosen }));
    this.clear = el("button", { class: "plain", type: "button", onclick: () => this.reset() }, "Clear");
    return el("div", { class: "tools", role: "search" }, this.search, by, this.state, this.fault, this.facets, sort, this.clear);
  }

  facet(name, value) {
    const { [name]: _, ...others } = this.asked.facets;
    this.set({ facets: value === "" ? others : { ...others, [name]: value } });
  }

  set(changes) {
    Object.assign(this.asked, changes);
    this.again();
  }

  /** Shows the failures of one reason. */
  only(group) {
    this.blank();
    this.state.value = "failed";
    this.fault.value = group.fault;
    this.set({ text: "", state: "failed", fault: group.fault, code: group.code, facets: {} });
    this.section.scrollIntoView();
    this.search.focus({ preventScroll: true });
  }

  reset() {
    this.blank();
    this.set({ text: "", state: "", fault: "", code: null, facets: {} });
    this.search.focus();
  }

  blank() {
    this.search.value = "";
    for (const select of [this.state, this.fault, ...this.facets]) if (select) select.value = "";
  }

  async again() {
    this.shown = [];
    this.turn += 1;
    this.done = false;
    this.busy = false;
    const { text, state, fault, code, facets } = this.asked;
    this.clear.disabled = !(text || state || fault || known(code) || Object.keys(facets).length);
    await this.more();
  }

  async more() {
    if (this.busy || this.done) return;
    const turn = this.turn;
    this.busy = true;
    let found;
    try {
      found = await this.store.find({ ...this.asked, offset: this.shown.length, limit: PAGE });
    } catch (error) {
      found = { rows: [], total: 0, error: String(error.message || error) };
    }
    if (turn !== this.turn) return;  // Something else was asked meanwhile.
    this.busy = false;
    const cards = found.rows.map((row, place) => this.card(row, this.shown.length + place));
    if (this.shown.length) this.cards.append(...cards);
    else this.cards.replaceChildren(...cards);
    this.shown.push(...found.rows);
    this.done = !found.rows.length || this.shown.length >= found.total;
    this.button.hidden = this.done;
    // Watched anew: an observer tells of a change alone, and the button may still be in sight.
    this.watch.unobserve(this.button);
    if (!this.done) this.watch.observe(this.button);
    this.status.replaceChildren(found.error ? `The rows cannot be read: ${found.error}` : counted(found.total));
  }

  card(row, place) {
    const fields = DATA.fields.filter(({ name, origin }) => origin === "answer" && known(row.fields[name]));
    const text = row.state === "failed" ? row.message : fields.length ? null : row.text;
    const named = fields.length || text ? fields : DATA.fields.filter(({ name }) => known(row.fields[name]));
    return el("li", { class: "card" }, shot(row, "small", true), el("div", { class: "about" },
      el("button", { class: "open", type: "button", onclick: () => this.open(place) }, own(row.id)),
      row.state === "answered" ? null : el("div", {}, tag(row)),
      text ? el("p", { class: "answer" }, own(text)) : null,
      pairs(named.slice(0, 6).map(({ name }) => [name, valueText(row.fields[name])])),
      el("p", { class: "facts" }, facts(row))));
  }

  /** Arrow keys go from card to card. */
  walk(event) {
    const buttons = [...this.cards.querySelectorAll(".open")];
    const here = buttons.indexOf(document.activeElement);
    const columns = getComputedStyle(this.cards).gridTemplateColumns.split(" ").length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (here < 0 || !step || !buttons[here + step]) return;
    event.preventDefault();
    buttons[here + step].focus();
  }

  async open(place) {
    if (place >= this.shown.length) await this.more();
    const row = this.shown[place];
    if (!row) return;
    this.place = place;
    detail(row, `${number(place + 1)} of ${number(this.shown.length)}${this.done ? "" : "+"}`, (step) => this.open(place + step));
  }
}

function counted(total) {
  const sampled = DATA.live ? "" : sampleText();
  return `${plural(total, "row")} found. ${sampled}`;
}

/** "1,200 of 80,000 rows shown": what of the output is in this page. */
function sampleText() {
  const { answers, answers_total, failures, failures_total } = DATA.sample;
  const shown = answers + failures, total = answers_total + failures_total;
  if (shown === total) return `All ${number(total)} rows are in this page.`;
  const failed = failures_total ? `, with ${number(failures)} of ${number(failures_total)} failures` : "";
  return `${number(shown)} of ${number(total)} rows shown, taken evenly${failed}; pipeline report --serve shows all.`;
}

const tag = (row) => el("span", { class: `tag c-${row.fault ?? row.state}` }, row.fault ? `${row.fault} · ` : row.state, row.fault ? own(row.code) : null);
const valueText = (value) => (Array.isArray(value) ? value.join(", ") : typeof value === "boolean" ? (value ? "yes" : "no") : String(value));

function facts(row) {
  const found = [];
  if (known(row.score)) found.push(`score ${row.score.toFixed(3)}`);
  const tokens = [[row.input_tokens, "in"], [row.output_tokens, "out"]].filter(([count]) => known(count)).map(([count, where]) => `${number(count)} ${where}`);
  if (tokens.length) found.push(`${tokens.join(", ")} tokens`);
  if (known(row.cost)) found.push(money(row.cost, row.currency));
  if (known(row.latency_ms)) found.push(span(row.latency_ms / 1000));
  if (row.attempt_count > 1) found.push(`${row.attempt_count} attempts`);
  return found.map((fact) => el("span", {}, fact));
}

// One row

function detail(row, where, go) {
  const blocks = boxesOf(row);
  const picture = shot(row, "large", true);
  const list = blocks.length ? blockList(blocks, picture) : null;
  const near = el("div");
  const of = (origin) => pairs(DATA.fields.filter((field) => field.origin === origin).map(({ name }) => [name, known(row.fields[name]) ? valueText(row.fields[name]) : null]));
  const part = (name, node) => (node ? el("div", {}, el("h3", {}, name), node) : null);
  show(
    el("div", { class: "bar-top" }, el("h2", {}, own(row.id)), el("span", { class: "muted small" }, where),
      el("button", { class: "plain small", type: "button", "aria-label": "Previous row", onclick: () => go(-1) }, "←"),
      el("button", { class: "plain small", type: "button", "aria-label": "Next row", onclick: () => go(1) }, "→"),
      el("button", { class: "plain small close", type: "button", onclick: () => dialog.close() }, "Close")),
    el("div", { class: "detail" },
      el("div", {}, picture, list, part("Files", row.source ? el("ul", { class: "mono" }, row.source.map((source) => el("li", {}, own(source))), row.sources > row.source.length ? el("li", {}, `and ${row.sources - row.source.length} more`) : null) : null)),
      el("div", {},
        row.state === "answered" ? null : el("div", {}, tag(row)),
        row.message ? el("p", { class: "answer" }, own(row.message)) : null,
        part(DATA.text ?? "Answer", row.text ? el("p", { class: "answer", tabindex: "0" }, own(row.text), row.length ? el("span", { class: "muted" }, ` … ${number(row.length)} characters in all`) : null) : null),
        part("Answer", of("answer")), part("Result", of("task")), part("Row", of("row")),
        DATA.fields_left_out ? el("p", { class: "muted small" }, `${plural(DATA.fields_left_out, "further column")} not shown`) : null,
        part("Cost and time", pairs(spent(row))),
        row.asked ? part("The row as it was read", el("pre", { class: "json", tabindex: "0" }, own(row.asked))) : null,
        near)));
  dialog.setAttribute("aria-label", row.id);
  dialog.querySelector(".close").focus();
  dialog.onkeydown = (event) => {
    if (event.target.closest("[tabindex]") && !event.target.matches("button")) return;
    if (event.key === "ArrowLeft") go(-1);
    if (event.key === "ArrowRight") go(1);
  };
  if (DATA.vector && row.state !== "failed") gallery.store.near(row).then((found) => near.replaceChildren(...neighbours(found)), () => {});
}

function spent(row) {
  const unit = (value) => known(value) ? number(value) : UNKNOWN;
  return [
    ["tokens in", unit(row.input_tokens)], ["tokens out", unit(row.output_tokens)], ["for media", row.media_tokens && number(row.media_tokens)],
    ["cost", known(row.cost) ? money(row.cost, row.currency) : UNKNOWN], ["latency", known(row.latency_ms) ? span(row.latency_ms / 1000) : null],
    ["attempts", known(row.attempt_count) ? number(row.attempt_count) : null], ["model", row.model], ["tier", row.tier], ["shared with", row.shared_with],
    ["finish reason", row.finish_reason], ["HTTP status", row.http_status], ["finished", known(row.finished) ? utc(row.finished) : null],
  ];
}

/** The texts of the boxes. Each lights its box up, and the other way round. */
function blockList(blocks, picture) {
  const polygons = [...picture.querySelectorAll("polygon")];
  const items = blocks.map(([text]) => el("li", {}, own(text)));
  items.forEach((item, place) => {
    for (const node of [item, polygons[place]]) {
      for (const [kind, on] of [["mouseenter", true], ["mouseleave", false]]) {
        node?.addEventListener(kind, () => [item, polygons[place]].forEach((both) => both?.classList.toggle("lit", on)));
      }
    }
  });
  const layer = picture.querySelector(".boxes");
  const toggle = el("input", { type: "checkbox", checked: true, onchange: () => layer?.toggleAttribute("hidden", !toggle.checked) });
  return el("div", {}, el("label", { class: "row small" }, toggle, `Boxes (${number(blocks.length)})`), el("ol", { class: "blocks", tabindex: "0", "aria-label": "Texts on the picture" }, items));
}

function neighbours(found) {
  if (!found.length) return [];
  const one = ([row, cosine]) => el("button", { type: "button", onclick: () => detail(row, "a near row", () => {}) }, shot(row, "small", false), el("span", {}, own(row.id)), el("span", { class: "muted" }, cosine.toFixed(3)));
  const among = DATA.near_among < DATA.totals.results ? ` among ${plural(DATA.near_among, "sampled row")}` : "";
  return [el("h3", {}, `Nearest by vector${among}`), el("div", { class: "near" }, found.map(one))];
}

const gallery = new Gallery(document.getElementById("rows"));

document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !dialog.open && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest("input, select, textarea")) {
    event.preventDefault();
    gallery.search.focus();
  }
});

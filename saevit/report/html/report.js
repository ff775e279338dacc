(() => {
  "use strict";

  const { metrics, models, files } = JSON.parse(document.getElementById("payload").textContent);
  const byId = (id) => document.getElementById(id);
  const body = byId("models").tBodies[0];
  const rows = [...body.rows]; // in the comparison's order, also after sorting
  const heads = [...byId("models").tHead.rows[0].cells];
  let selected = null; // a model's index

  /** Append an element, in the parent's namespace by default. Data become text, never markup. */
  const add = (parent, tag, attributes = {}, text = "", language = parent.namespaceURI) => {
    const made = document.createElementNS(language, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return parent.appendChild(made);
  };

  // ---- fronts and correlation ------------------------------------------------------------------------

  const valueOf = (model, metric) => model.values[metric];
  const hasBoth = (model, x, y) => valueOf(model, x) !== undefined && valueOf(model, y) !== undefined;

  /** Is a as good as b on both axes, and better on one? */
  const beats = (a, b, axes) => {
    const gains = axes.map((axis) => {
      const gain = valueOf(a, axis) - valueOf(b, axis);
      return metrics[axis].better === "max" ? gain : -gain;
    });
    return Math.min(...gains) >= 0 && Math.max(...gains) > 0;
  };

  /** The rule of find_front in saevit/report/metrics.py. */
  const frontOf = (x, y) => {
    const judged = models.filter((m) => hasBoth(m, x, y) && (m.comparable || (x !== "top1" && y !== "top1")));
    return judged.filter((m) => !judged.some((other) => beats(other, m, [x, y])));
  };

  /** Ranks from 1; equal values share the mean of theirs. */
  const ranks = (values) =>
    values.map((v) => values.filter((w) => w < v).length + (values.filter((w) => w === v).length + 1) / 2);

  /** Spearman's rank correlation; null where it is not defined. */
  const spearman = (xs, ys) => {
    const centred = [xs, ys].map((values) => ranks(values).map((rank) => rank - (values.length + 1) / 2));
    const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
    const scale = Math.sqrt(dot(centred[0], centred[0]) * dot(centred[1], centred[1]));
    return xs.length < 3 || scale === 0 ? null : dot(centred[0], centred[1]) / scale;
  };

  // ---- axes ----------------------------------------------------------------------------------------

  /** Return the scale from values to pixels, with some room at the ends. */
  const scaleOf = (values, log, from, to) => {
    const bend = log ? Math.log10 : (v) => v;
    const ends = [bend(Math.min(...values)), bend(Math.max(...values))];
    const room = (ends[1] - ends[0]) * 0.08 || Math.abs(ends[0]) * 0.1 || 1;
    const low = !log && ends[0] >= 0 ? Math.max(0, ends[0] - room) : ends[0] - room;
    const high = ends[1] + room;
    const at = (v) => from + ((bend(v) - low) / (high - low)) * (to - from);
    return { at, low: log ? 10 ** low : low, high: log ? 10 ** high : high, log };
  };

  const linearTicks = ({ low, high }, count) => {
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
    const first = Math.ceil(low / step);
    return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step);
  };

  /** 1, 2, 5 of each decade; every digit if these are too few; linear ticks if those are too few. */
  const logTicks = (scale, count) => {
    const inside = (digits) => {
      const found = [];
      for (let k = Math.floor(Math.log10(scale.low)); 10 ** k <= scale.high; k += 1) {
        for (const digit of digits) found.push(k < 0 ? digit / 10 ** -k : digit * 10 ** k);
      }
      return found.filter((v) => v >= scale.low && v <= scale.high);
    };
    const choices = [inside([1, 2, 5]), inside([1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9])];
    return choices.find((ticks) => ticks.length >= 4) || linearTicks(scale, count);
  };

  const ticksOf = (scale, count) => (scale.log ? logTicks(scale, count) : linearTicks(scale, count));
  const short = (value) => String(Number(value.toPrecision(4)));

  // ---- plot ----------------------------------------------------------------------------------------

  const KINDS = {
    plain: { text: "top-1 published, plain training", path: "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0Z" },
    apart: { text: "top-1 published, excluded from the front: distilled, extra data or another size", path: "M0 -6.5L6.5 0L0 6.5L-6.5 0Z" },
    claim: { text: "top-1 claimed by the paper, not reproduced", path: "M-5 -5H5V5H-5Z" },
    none: { text: "no published top-1", path: "M0 -6L6 4.5H-6Z" },
    measured: { text: "top-1 measured here", path: "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0Z" },
    "measured-apart": { text: "top-1 measured here, excluded from the front: another size or other images", path: "M0 -6.5L6.5 0L0 6.5L-6.5 0Z" },
    unmeasured: { text: "no top-1 measured on these data", path: "M0 -6L6 4.5H-6Z" },
  };
  const TICKS = { x: "M0 0V-13", y: "M0 0H13" }; // of a model without top-1, on the other axis
  const REACH = 28; // pixels from the pointer to a mark
  const names = Object.keys(metrics);
  const chart = byId("chart");
  const canvas = byId("canvas");
  const tip = byId("tip");
  const axes = { x: byId("x"), y: byId("y") };
  const logs = { x: byId("x-log"), y: byId("y-log") };
  const wanted = { x: true, y: true }; // logarithmic, where that is possible
  let marks = []; // what is drawn: {index, x, y, node}
  let area = null; // of the plot: {left, right, top, bottom}
  let overlay = null; // labels and the ring, drawn anew when the selection changes

  const drawAxis = (group, axis, scale) => {
    const across = axis === "x";
    const ticks = ticksOf(scale, across ? (area.right - area.left) / 80 : (area.bottom - area.top) / 55);
    let last = -Infinity;
    for (const tick of ticks) {
      const at = scale.at(tick);
      const line = across
        ? { x1: at, x2: at, y1: area.top, y2: area.bottom }
        : { x1: area.left, x2: area.right, y1: at, y2: at };
      add(group, "line", { class: "grid", ...line });
      const distance = Math.abs(at - last);
      if (distance < (across ? 12 + 7 * short(tick).length : 16)) continue;
      const place = across ? { x: at, y: area.bottom + 18 } : { x: area.left - 8, y: at + 4 };
      add(group, "text", { class: `tick tick-${axis}`, ...place }, short(tick));
      last = at;
    }
    const place = across ? { x: area.right, y: area.bottom + 40 } : { x: 4, y: 14 };
    const title = metrics[axes[axis].value].label + (scale.log ? ", log" : "");
    add(group, "text", { class: `axis axis-${axis}`, ...place }, title);
  };

  /** Draw the front as steps, from its best end on x to the edges of the plot. */
  const drawFront = (front, x, y, at) => {
    if (!front.length) return;
    const [right, up] = [x, y].map((metric) => metrics[metric].better === "max");
    const order = (a, b) => (right ? b.x - a.x : a.x - b.x) || (up ? a.y - b.y : b.y - a.y);
    const places = front.map(at).sort(order);
    const worstX = right ? area.left : area.right;
    const worstY = up ? area.bottom : area.top;
    const steps = places.map((p) => `H${p.x}V${p.y}`).join("");
    add(chart, "path", { class: "front-line", d: `M${places[0].x} ${worstY}${steps}H${worstX}` });
  };

  /** The text of a mark for screen readers. */
  const described = (model, shown, onFront) => {
    const known = shown.filter((metric) => valueOf(model, metric) !== undefined);
    const figures = known.map((metric) => `${metrics[metric].label} ${short(valueOf(model, metric))}`);
    return [model.name, ...figures, KINDS[model.kind].text, ...(onFront ? ["on the front"] : [])].join(", ");
  };

  const drawMark = (group, index, place, axis, onFront) => {
    const model = models[index];
    const node = add(group, "g", {
      class: ["mark", model.kind, axis && "rug", onFront && "front"].filter(Boolean).join(" "),
      transform: `translate(${place.x} ${place.y})`,
      role: "button",
      tabindex: -1,
      "aria-label": described(model, [axes.x.value, axes.y.value], onFront),
      "aria-pressed": index === selected,
      "data-index": index,
    });
    add(node, "path", { d: axis ? TICKS[axis] : KINDS[model.kind].path });
    marks.push({ index, node, rug: axis, front: onFront, ...place });
  };

  /** The axis on which a model without top-1 is a tick: the one across from top-1. */
  const rugOf = (model, x, y) => {
    if (y === "top1" && valueOf(model, y) === undefined && valueOf(model, x) !== undefined) return "x";
    if (x === "top1" && valueOf(model, x) === undefined && valueOf(model, y) !== undefined) return "y";
    return null;
  };

  /** The values inside the axis: those of the marks, or of all models if there are no marks. */
  const valuesOn = (axis, x, y) => {
    const known = models.filter((m) => valueOf(m, axes[axis].value) !== undefined);
    const drawn = known.filter((m) => hasBoth(m, x, y) || rugOf(m, x, y) === axis);
    return (drawn.length ? drawn : known).map((m) => valueOf(m, axes[axis].value));
  };

  const drawScales = (x, y) => {
    const ends = { x: [area.left, area.right], y: [area.bottom, area.top] };
    const scale = {};
    for (const axis of ["x", "y"]) {
      const values = valuesOn(axis, x, y);
      logs[axis].disabled = axes[axis].value === "top1" || Math.min(...values) <= 0;
      logs[axis].checked = wanted[axis] && !logs[axis].disabled;
      scale[axis] = scaleOf(values, logs[axis].checked, ...ends[axis]);
      drawAxis(add(chart, "g", { "aria-hidden": "true" }), axis, scale[axis]);
    }
    return scale;
  };

  /** Draw everything for the chosen axes, `width` pixels wide. */
  const draw = (width) => {
    const [x, y] = [axes.x.value, axes.y.value];
    const height = Math.round(Math.min(560, Math.max(340, width * 0.55)));
    area = { left: 48, right: width - 14, top: 28, bottom: height - 52 };
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.replaceChildren();
    marks = [];
    hide();
    const scale = drawScales(x, y);
    const at = (m) => ({ x: scale.x.at(valueOf(m, x)), y: scale.y.at(valueOf(m, y)) });
    const both = models.filter((m) => hasBoth(m, x, y));
    const front = frontOf(x, y);
    drawFront(front, x, y, at);
    const group = add(chart, "g", {});
    models.forEach((m, index) => {
      const rug = rugOf(m, x, y);
      const edge = { x: { y: area.bottom }, y: { x: area.left } };
      const place = { ...at(m), ...edge[rug] };
      if (rug || both.includes(m)) drawMark(group, index, place, rug, front.includes(m));
    });
    overlay = add(chart, "g", { "aria-hidden": "true", class: "overlay" });
    drawLabels();
    roam(marks[0]);
    fade();
    legend(front.length > 0);
    summarize(both, front, x, y);
  };

  const redraw = () => draw(Math.max(300, canvas.clientWidth));

  /** Label the front, claims and ticks where there is room; always label the selected model, in a ring. */
  const drawLabels = () => {
    overlay.replaceChildren();
    const order = ({ index, front, rug }) =>
      [index === selected, front, rug !== null, models[index].kind === "claim"].indexOf(true);
    const named = marks.filter((mark) => order(mark) >= 0).sort((a, b) => order(a) - order(b));
    const taken = marks.map(({ x, y, rug }) => (rug ? null : [x - 5, y - 5, x + 5, y + 5])).filter(Boolean);
    for (const mark of named) {
      const own = mark.index === selected;
      if (own) add(overlay, "circle", { class: "ring", cx: mark.x, cy: mark.y, r: 11 });
      const text = add(overlay, "text", { class: own ? "label own" : "label" }, models[mark.index].label);
      const place = placeFor(mark, text.getComputedTextLength(), taken, own);
      if (!place) text.remove();
      else {
        text.setAttribute("transform", `translate(${place.x} ${place.y})${place.turned ? " rotate(-90)" : ""}`);
        taken.push(place.box);
      }
    }
  };

  /** The first place beside a mark that covers nothing, or `anyway` the first inside the plot. It begins on the
      side of the better values, where a front has no company. */
  const placeFor = ({ x, y, rug }, length, taken, anyway) => {
    const turned = rug === "x";
    const right = metrics[axes.x.value].better === "max";
    const downs = metrics[axes.y.value].better === "max" ? [-7, 4, 15] : [15, 4, -7];
    const lefts = [x - 9 - length, x + 9];
    if (right) lefts.reverse();
    const level = (left, base) => ({ x: left, y: base, box: [left, base - 10, left + length, base + 3] });
    const places = turned
      ? [{ x: x + 4, y: y - 18, turned, box: [x - 6, y - 18 - length, x + 6, y - 15] }]
      : rug
        ? [level(x + 18, y + 4)]
        : [
            level(lefts[0], y + downs[0]),
            level(x - length / 2, y + (downs[0] < 0 ? -11 : 21)),
            ...lefts.flatMap((left) => downs.map((down) => level(left, y + down))),
          ];
    const fitting = places.filter(
      ({ box: [left, top, end, bottom] }) =>
        left >= area.left && end <= area.right + 12 && top >= area.top - 8 && bottom <= area.bottom,
    );
    const apart = (a, b) => a[2] < b[0] || a[0] > b[2] || a[3] < b[1] || a[1] > b[3];
    const free = ({ box }) => taken.every((other) => apart(box, other));
    return fitting.find(free) || (anyway ? fitting[0] : undefined);
  };

  const legend = (hasFront) => {
    const list = byId("legend");
    list.replaceChildren();
    const sample = (className, path, text) => {
      const item = add(list, "li");
      const box = { viewBox: "-9 -9 18 18", "aria-hidden": "true" };
      const group = add(add(item, "svg", box, "", chart.namespaceURI), "g", { class: className });
      add(group, "path", { d: path });
      item.append(text);
    };
    for (const [kind, { text, path }] of Object.entries(KINDS)) {
      const drawn = marks.some(({ index, rug }) => !rug && models[index].kind === kind);
      if (drawn) sample(`mark ${kind}`, path, text);
    }
    const ticked = marks.find(({ rug }) => rug);
    const tick = ticked && ticked.rug === "x" ? "M0 6.5V-6.5" : "M-6.5 0H6.5";
    if (ticked) sample("mark none rug", tick, `${KINDS[models[ticked.index].kind].text}: on the axis`);
    if (hasFront) sample("front-sample", "M-8 0H8", "front: no other beats these");
  };

  const summarize = (both, front, x, y) => {
    const summary = byId("summary");
    const accuracy = x === "top1" || y === "top1";
    const measured = models.some(({ kind }) => kind === "measured");
    const who = accuracy ? `front of the ${measured ? "measured" : "plainly trained"}` : "front";
    const shown = `${both.length} of ${models.length} models have both values`;
    summary.textContent = `${shown}; on the ${who}: ${front.length}.`;
    const value = accuracy ? null : spearman(...[x, y].map((metric) => both.map((m) => valueOf(m, metric))));
    if (value === null) return;
    summary.append(` Spearman rank correlation ${metrics[x].label} / ${metrics[y].label}: `);
    add(summary, "data", { value: String(value) }, value.toFixed(3));
    summary.append(".");
  };

  // ---- reading a mark ------------------------------------------------------------------------------

  /** Show a model's row of the table, and the sources of its values, beside its mark. */
  const show = (mark) => {
    const model = models[mark.index];
    tip.replaceChildren();
    add(tip, "strong", {}, model.name);
    add(tip, "span", { class: `kind ${model.kind}` }, KINDS[model.kind].text);
    const list = add(tip, "dl");
    const known = [...rows[mark.index].cells].slice(1).filter((cell) => cell.dataset.value !== undefined);
    const figures = known.map((cell) => [heads[cell.cellIndex].textContent, cell.textContent]);
    for (const [name, text] of [...figures, ...Object.entries(model.sources)]) {
      add(list, "dt", {}, name);
      add(list, "dd", {}, text);
    }
    tip.hidden = false;
    const factor = canvas.clientWidth / chart.viewBox.baseVal.width;
    const [x, y] = [mark.x * factor, mark.y * factor];
    const room = x + 14 + tip.offsetWidth <= canvas.clientWidth;
    const left = room ? x + 14 : x - 14 - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(left, canvas.clientWidth - tip.offsetWidth))}px`;
    tip.style.top = left < 0 ? `${y + 16}px` : `${Math.max(0, y - tip.offsetHeight / 2)}px`;
    for (const { node } of marks) node.classList.toggle("read", node === mark.node);
  };

  const hide = () => {
    tip.hidden = true;
    for (const { node } of marks) node.classList.remove("read");
  };

  const nearest = (event) => {
    const box = chart.getBoundingClientRect();
    const factor = chart.viewBox.baseVal.width / box.width;
    const [x, y] = [(event.clientX - box.left) * factor, (event.clientY - box.top) * factor];
    const away = (mark) => Math.hypot(mark.x - x, mark.y - (mark.rug === "x" ? 6 : 0) - y);
    const best = marks.reduce((a, b) => (a && away(a) <= away(b) ? a : b), undefined);
    return best && away(best) <= REACH ? best : undefined;
  };

  /** Let the Tab key find only one mark: the last one that had the focus. */
  const roam = (to) => {
    for (const mark of marks) mark.node.setAttribute("tabindex", mark === to ? 0 : -1);
  };

  const MOVES = { ArrowRight: ["x", 1], ArrowLeft: ["x", -1], ArrowUp: ["y", -1], ArrowDown: ["y", 1] };

  const onKey = (event) => {
    const mark = marks.find(({ node }) => node === event.target);
    if (event.key === "Escape") hide();
    if (!mark) return;
    if (event.key === "Enter" || event.key === " ") select(mark.index);
    else if (event.key in MOVES) {
      const [axis, step] = MOVES[event.key];
      const order = [...marks].sort((a, b) => a[axis] - b[axis] || a.index - b.index);
      const next = order[order.indexOf(mark) + step];
      if (next) next.node.focus();
    } else return;
    event.preventDefault();
  };

  const onFocus = (event) => {
    const mark = marks.find(({ node }) => node === event.target);
    if (!mark) return;
    roam(mark);
    show(mark);
  };

  let chosen = {}; // metrics of the axes before the change

  /** If both axes have the same metric, the other axis takes the one that this axis had. */
  const onAxis = (axis) => {
    const other = axis === "x" ? "y" : "x";
    if (axes[axis].value === axes[other].value) axes[other].value = chosen[axis];
    chosen = { x: axes.x.value, y: axes.y.value };
    redraw();
  };

  const startPlot = () => {
    const given = { x: ["latency", "gmacs", ...names], y: ["top1", "gmacs", ...names] };
    for (const axis of ["x", "y"]) {
      for (const name of names) add(axes[axis], "option", { value: name }, metrics[name].label);
      const free = (name) => names.includes(name) && (axis === "x" || name !== axes.x.value);
      axes[axis].value = given[axis].find(free);
      axes[axis].addEventListener("change", () => onAxis(axis));
      logs[axis].addEventListener("change", () => {
        wanted[axis] = logs[axis].checked;
        redraw();
      });
    }
    chosen = { x: axes.x.value, y: axes.y.value };
    chart.addEventListener("pointermove", (event) => {
      const mark = nearest(event);
      if (mark) show(mark);
      else hide();
    });
    chart.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
    chart.addEventListener("click", (event) => {
      const mark = nearest(event);
      select(mark ? mark.index : null);
      if (mark) show(mark);
    });
    canvas.addEventListener("keydown", onKey);
    canvas.addEventListener("focusin", onFocus); // Chromium's Tab key stops at an SVG that listens to this
    canvas.addEventListener("focusout", hide);
    byId("plot").hidden = false;
    let width = 0;
    new ResizeObserver(() => {
      if (canvas.clientWidth !== width) redraw();
      width = canvas.clientWidth;
    }).observe(canvas);
    window.addEventListener("beforeprint", () => draw(760));
    window.addEventListener("afterprint", redraw);
    redraw();
  };

  // ---- table ---------------------------------------------------------------------------------------

  const collator = new Intl.Collator("en", { numeric: true });

  /** Sort by a column, or reverse its order if it is sorted already; unknown values are always last. */
  const sortBy = (head) => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const key = (row) => row.cells[head.cellIndex].dataset.value;
    const compare = head.dataset.kind === "number" ? (a, b) => a - b : collator.compare;
    const order = (a, b) => {
      if (key(a) === undefined || key(b) === undefined) return (key(a) === undefined) - (key(b) === undefined);
      return sign * compare(key(a), key(b));
    };
    body.append(...[...rows].sort(order));
  };

  const matches = (index) => {
    const name = models[index].name.toLowerCase();
    return byId("filter").value.toLowerCase().split(/\s+/).every((part) => name.includes(part));
  };

  const fade = () => {
    for (const { index, node } of marks) node.classList.toggle("faded", !matches(index));
  };

  const onFilter = () => {
    rows.forEach((row, index) => (row.hidden = !matches(index)));
    const shown = rows.filter((row) => !row.hidden).length;
    byId("filtered").textContent = byId("filter").value.trim() ? `${shown} of ${rows.length} models` : "";
    fade();
  };

  const select = (index) => {
    selected = index === selected ? null : index;
    rows.forEach((row, i) => {
      row.classList.toggle("selected", i === selected);
      row.querySelector("button").setAttribute("aria-pressed", i === selected);
    });
    for (const mark of marks) mark.node.setAttribute("aria-pressed", mark.index === selected);
    if (overlay) drawLabels();
    const frame = document.querySelector(".scroll");
    if (selected === null) return;
    const [top, bottom] = [rows[selected].offsetTop, rows[selected].offsetTop + rows[selected].offsetHeight];
    const covered = byId("models").tHead.offsetHeight;
    if (top - covered < frame.scrollTop || bottom > frame.scrollTop + frame.clientHeight) {
      frame.scrollTop = top - frame.clientHeight / 2;
    }
  };

  const startTable = () => {
    for (const head of heads) head.firstElementChild.addEventListener("click", () => sortBy(head));
    body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      const marked = document.getSelection();
      if (!row || (!marked.isCollapsed && body.contains(marked.anchorNode))) return; // text is being copied
      select(Number(row.dataset.index));
    });
    byId("filter").addEventListener("input", onFilter);
    byId("filtering").hidden = false;
  };

  // ---- downloads -----------------------------------------------------------------------------------

  const startDownloads = () => {
    for (const { name, type, text } of files) {
      const blob = new Blob([text], { type });
      const size = blob.size < 1e6 ? `${Math.ceil(blob.size / 1e3)} kB` : `${(blob.size / 1e6).toFixed(1)} MB`;
      const item = add(byId("downloads"), "span", { class: "file" });
      add(item, "a", { href: URL.createObjectURL(blob), download: name }, name);
      item.append(` (${size})`);
      item.after(" ");
    }
    byId("downloads").hidden = false;
  };

  startTable();
  startDownloads();
  if (names.length > 1) startPlot();
})();

"use strict";
// The page without this script is complete. The script sorts and filters tables, chooses their columns, and
// highlights the marks of a row and the row of a mark. A row and its marks have the same data-key.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const add = (parent, tag, properties = {}) => parent.appendChild(Object.assign(document.createElement(tag), properties));
  const tip = document.getElementById("tip");
  const keyed = all("[data-key]");
  const narrow = matchMedia("(max-width: 640px)");
  let pinned = null; // the row or mark that stays highlighted

  // ---- rows and marks ----

  const rowOf = (key) => keyed.find((node) => node.tagName === "TR" && node.dataset.key === key);

  const highlight = (key) => {
    for (const node of keyed) node.classList.toggle("on", node.dataset.key === key);
  };

  /** Show the row of a mark beside it; on a phone, at the bottom of the window. */
  const showTip = (mark) => {
    tip.replaceChildren();
    add(tip, "strong", { textContent: mark.dataset.key });
    const list = add(tip, "dl");
    for (const cell of all("td:not(.none)", rowOf(mark.dataset.key))) {
      add(list, "dt", { textContent: cell.dataset.head });
      add(list, "dd", { textContent: cell.textContent });
    }
    tip.hidden = false;
    const place = mark.getBoundingClientRect();
    const left = place.right + 12 + tip.offsetWidth < innerWidth ? place.right + 12 : place.left - 12 - tip.offsetWidth;
    const top = Math.min(Math.max(place.top - tip.offsetHeight / 2, 8), innerHeight - tip.offsetHeight - 8);
    Object.assign(tip.style, narrow.matches ? { left: "", top: "" } : { left: `${Math.max(left, 8)}px`, top: `${top}px` });
  };

  /** Highlight what is pointed at; without that, what was selected. */
  const point = (node) => {
    const shown = node ?? pinned;
    highlight(shown?.dataset.key);
    if (shown?.matches(".mark")) showTip(shown);
    else tip.hidden = true;
  };

  const pin = (node) => {
    pinned = node;
    for (const other of keyed) other.classList.toggle("pinned", node !== null && other.dataset.key === node.dataset.key);
    point(node);
  };

  const onClick = (event) => {
    if (event.target.closest("button, summary, label, a:not(.mark)") || !getSelection().isCollapsed) return;
    const node = event.target.closest("[data-key]");
    if (node?.matches(".mark")) event.preventDefault();
    pin(node?.dataset.key === pinned?.dataset.key ? null : node);
  };

  /** Let the Tab key stop at one of some elements only; arrow keys move between them. */
  const moveByArrows = (root, list) => {
    list().forEach((node, i) => node.setAttribute("tabindex", i ? -1 : 0));
    root.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const place = list().indexOf(document.activeElement);
      if (!step || place < 0) return;
      event.preventDefault();
      list()[place + step]?.focus();
    });
  };

  const listMarks = (picture) => {
    const left = new Map(all("a.mark", picture).map((mark) => [mark, mark.getBoundingClientRect().left]));
    return [...left.keys()].sort((a, b) => left.get(a) - left.get(b));
  };

  // ---- tables ----

  const PREFIXES = { "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
  const collator = new Intl.Collator("en", { numeric: true });

  /** Sort by a column, or reverse its order if it is sorted already; unknown values and the sum stay last. */
  const sortBy = (head) => {
    const table = head.closest("table");
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const value = (row) => {
      const cell = row.cells[head.cellIndex];
      const [, number, prefix] = cell.textContent.replaceAll(",", "").match(/^([-+]?[\d.]+(?:e[-+]?\d+)?) ?([kMGT]?)/) ?? [];
      return Number(cell.dataset.value ?? number) * (cell.dataset.value ? 1 : PREFIXES[prefix]);
    };
    const isUnknown = (row) => row.cells[head.cellIndex].matches(".none") || (head.matches(".side-r") && Number.isNaN(value(row)));
    const last = (row) => (row.matches(".total") ? 2 : isUnknown(row) ? 1 : 0);
    const compare = (a, b) => {
      const [left, right] = [value(a), value(b)];
      if (!Number.isNaN(left) && !Number.isNaN(right)) return left - right;
      return collator.compare(a.cells[head.cellIndex].textContent, b.cells[head.cellIndex].textContent);
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => last(a) - last(b) || (last(a) ? 0 : sign * compare(a, b))));
  };

  const startFilter = (table, controls) => {
    const box = add(add(controls, "label", { textContent: "Filter " }), "input", { type: "search", autocomplete: "off" });
    const count = add(controls, "span", { role: "status" });
    box.addEventListener("input", () => {
      const words = box.value.toLowerCase().split(/\s+/);
      const rows = [...table.tBodies[0].rows];
      for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
      const shown = rows.filter((row) => !row.hidden);
      count.textContent = box.value.trim() ? `${shown.length} of ${rows.length} rows` : "";
      const keys = new Set(shown.map((row) => row.dataset.key));
      for (const mark of all(".mark")) {
        const isHere = table.contains(rowOf(mark.dataset.key));
        if (isHere) mark.classList.toggle("filtered", !keys.has(mark.dataset.key));
      }
    });
  };

  /** Offer all columns, and hide those on the right until the table fits. */
  const startColumns = (table, controls) => {
    const chooser = add(controls, "details", { className: "columns" });
    const summary = add(chooser, "summary");
    const heads = [...table.tHead.rows[0].cells].slice(1);
    const boxes = heads.map((head) => {
      const label = add(chooser, "label");
      const box = add(label, "input", { type: "checkbox", checked: true });
      label.append(` ${head.textContent}`);
      box.addEventListener("change", show);
      return box;
    });
    function show() {
      boxes.forEach((box, i) => {
        for (const row of table.rows) row.cells[i + 1].hidden = !box.checked;
      });
      const hidden = boxes.filter((box) => !box.checked).length;
      summary.textContent = hidden ? `Columns: ${hidden} of ${heads.length + 1} hidden` : "Columns";
    }
    show();
    for (const box of [...boxes].reverse()) {
      if (table.parentElement.scrollWidth <= table.parentElement.clientWidth) break;
      box.checked = false;
      show();
    }
    chooser.hidden = heads.length < 6 && boxes.every((box) => box.checked);
  };

  all("section table:not(.fields)").forEach((table) => {
    const controls = document.createElement("div");
    controls.className = "controls";
    table.parentElement.before(controls);
    if (table.matches(".long")) startFilter(table, controls);
    if (table.matches(".wide")) startColumns(table, controls);
    moveByArrows(table, () => [...table.tBodies[0].rows].filter((row) => !row.hidden));
    for (const head of table.tHead.rows[0].cells) head.firstElementChild.addEventListener("click", () => sortBy(head));
  });
  for (const picture of all(".picture")) moveByArrows(picture, () => listMarks(picture));
  const find = (event) => event.target.closest?.("[data-key]") ?? null;
  document.addEventListener("pointerover", (event) => event.pointerType === "mouse" && point(find(event)));
  document.addEventListener("focusin", (event) => point(find(event)));
  document.addEventListener("click", onClick);
  document.addEventListener("scroll", () => narrow.matches || (tip.hidden = true));
  document.addEventListener("keydown", (event) => event.key === "Escape" && pin(null));
})();

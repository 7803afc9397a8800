// Controls of a report: it is complete without them, so each of them is made here.
(() => {
  "use strict";

  const FEW = 12; // So many rows or cards are seen at a glance.
  const NONE = new Set(["", "-", "\u2013"]);
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const count = (number) => number.toLocaleString("en");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  /** An element with attributes and children; texts stay texts. */
  const make = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  const button = (attributes, ...children) => make("button", { type: "button", ...attributes }, ...children);

  /** Order of two values; numbers before texts, and what is missing last in both directions. */
  const compare = (one, other, sign = 1) => {
    if (one === null || other === null) return (one === null) - (other === null);
    if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
    if (typeof one === "number") return sign * ((one > other) - (one < other));
    return sign * collator.compare(one, other);
  };

  /** What a reader narrows down: items pass every test, and the number of those shown is said. */
  const narrowed = (items, noun, texts) => {
    const tests = new Map();
    const said = make("output", { "aria-live": "polite" });
    let written = null;
    const apply = () => {
      let shown = 0;
      items.forEach((item, place) => {
        item.hidden = ![...tests.values()].every((passes) => passes(item, place));
        shown += !item.hidden;
      });
      said.textContent = `${count(shown)} of ${count(items.length)} ${noun}`;
      said.classList.toggle("partial", shown < items.length);
    };
    const search = make("input", { type: "search", "aria-label": `Search ${noun}`, placeholder: `Search ${noun}` });
    search.addEventListener("input", () => {
      written ??= items.map((item) => texts(item).toLowerCase());
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      tests.set("search", (_, place) => words.every((word) => written[place].includes(word)));
      apply();
    });
    const bar = make("div", { class: "tools", role: "group", "aria-label": `Tools for ${noun}` });
    return { apply, bar, said, search, test: (name, passes) => { tests.set(name, passes); apply(); } };
  };

  // Tables

  /** The cell of a row in a column, as those before it may span several. */
  const cellAt = (row, column) => {
    let at = 0;
    for (const cell of row.cells) {
      at += cell.colSpan;
      if (at > column) return cell;
    }
    return undefined;
  };

  /** What a row is sorted by: a number where the cell says one, else its text without its note. */
  const sortValue = (row, column) => {
    const cell = cellAt(row, column);
    if (!cell || cell.dataset.value === "") return null;
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    const text = [...cell.childNodes].filter((node) => node.nodeName !== "SMALL")
      .map((node) => node.textContent).join("").trim();
    return NONE.has(text) ? null : text;
  };

  /** Headers sort: upwards, downwards, and back to how it was. */
  const makeSortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    const bodies = [...table.tBodies].map((body) => [body, [...body.rows]]);
    const next = { none: "ascending", ascending: "descending", descending: "none" };
    heads.forEach((head, column) => {
      if (!head.textContent.trim()) return;
      const control = button({ class: "sort" });
      control.append(...[...head.childNodes].filter((node) => node.nodeName !== "SMALL"));
      head.prepend(control);
      head.setAttribute("aria-sort", "none");
      control.addEventListener("click", () => {
        const way = next[head.getAttribute("aria-sort")];
        for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", way);
        const sign = way === "descending" ? -1 : 1;
        for (const [body, rows] of bodies) {
          const named = rows.filter((row) => row.querySelector("[scope=rowgroup]"));
          const keyed = rows.filter((row) => !named.includes(row)).map((row) => [sortValue(row, column), row]);
          if (way !== "none") keyed.sort(([one], [other]) => compare(one, other, sign));
          body.append(...named, ...keyed.map(([, row]) => row));
        }
      });
    });
  };

  const makeSearchable = (table) => {
    const rows = all("tbody > tr", table).filter((row) => !row.querySelector("[scope=rowgroup]"));
    if (rows.length <= FEW) return;
    const found = narrowed(rows, table.dataset.search, (row) => row.textContent);
    found.bar.append(found.search, found.said);
    (table.closest(".scroll") ?? table).before(found.bar);
    found.apply();
  };

  // Cards

  const makeCards = (group) => {
    const cards = all(":scope > .sample", group);
    if (cards.length < 2) return;
    const parts = "h3, .chip, .facts, figcaption";
    const noun = group.dataset.cards;
    const found = narrowed(cards, noun, (card) => all(parts, card).map((part) => part.textContent).join(" "));
    const sizes = new Map();
    for (const { dataset } of cards) sizes.set(dataset.mark, (sizes.get(dataset.mark) ?? 0) + 1);
    if (sizes.size > 1) {
      const chips = make("div", { class: "chips", role: "group", "aria-label": `Show ${noun}` });
      const words = [...sizes.keys()].filter((word) => word !== undefined).sort();
      for (const word of [undefined, ...words]) {
        const size = count(word === undefined ? cards.length : sizes.get(word));
        const name = word === undefined ? "all" : `${word} only`;
        const chip = button({ class: `chip ${word ?? ""}`, "aria-pressed": String(word === undefined) }, `${name} ${size}`);
        chip.addEventListener("click", () => {
          for (const other of chips.children) other.setAttribute("aria-pressed", String(other === chip));
          found.test("mark", (card) => word === undefined || card.dataset.mark === word);
        });
        chips.append(chip);
      }
      found.bar.append(chips);
    }
    const orders = JSON.parse(group.dataset.orders);
    if (orders.length) {
      const names = ["as given", ...orders];
      const choice = make("select", {}, ...names.map((name, place) => make("option", { value: place - 1 }, name)));
      const keys = new Map(cards.map((card) => [card, JSON.parse(card.dataset.keys)]));
      choice.addEventListener("change", () => {
        const order = Number(choice.value);
        const sorted = [...cards];
        if (order >= 0) sorted.sort((one, other) => compare(keys.get(one)[order], keys.get(other)[order]));
        group.append(...sorted);
      });
      found.bar.append(make("label", {}, "Order ", choice));
    }
    if (cards.length > FEW) found.bar.append(found.search);
    found.bar.append(found.said);
    group.before(found.bar);
    found.apply();
  };

  // Sections

  const makeFold = (section) => {
    const heading = section.querySelector(":scope > h2");
    const body = section.querySelector(":scope > .body");
    if (!heading || !body) return;
    body.id = `${heading.id}-body`;
    const control = button({ class: "fold", "aria-expanded": "true", "aria-controls": body.id }, heading.firstChild);
    heading.prepend(control);
    const fold = (folded) => {
      section.classList.toggle("folded", folded);
      control.setAttribute("aria-expanded", String(!folded));
    };
    control.addEventListener("click", () => fold(!section.classList.contains("folded")));
    // A link to a section shows it, also a second time.
    for (const link of all("a[href]")) {
      if (link.hash === `#${heading.id}`) link.addEventListener("click", () => fold(false));
    }
  };

  // Values of charts

  const makeTips = () => {
    const tip = make("div", { class: "tip", role: "status", hidden: "" });
    let marked = null;
    const hide = () => {
      marked?.classList.remove("told");
      marked = null;
      tip.hidden = true;
    };
    const show = (mark, across) => {
      if (mark !== marked) {
        hide();
        marked = mark;
        mark.classList.add("told");
        tip.hidden = false;
        tip.textContent = mark.dataset.tip;
      }
      const box = mark.getBoundingClientRect();
      const left = (across ?? box.left + box.width / 2) - tip.offsetWidth / 2;
      const above = box.top - tip.offsetHeight - 8;
      tip.style.left = `${Math.max(8, Math.min(left, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
      tip.style.top = `${above >= 8 ? above : box.bottom + 8}px`;
    };
    for (const title of all("svg * > title")) {
      title.parentNode.dataset.tip = title.textContent;
      title.remove(); // or the browser shows it, too
    }
    for (const chart of all("svg")) {
      const marks = all("[data-tip]", chart);
      if (!marks.length) continue;
      chart.setAttribute("tabindex", "0");
      chart.setAttribute("aria-keyshortcuts", "ArrowLeft ArrowRight Home End");
      chart.addEventListener("focus", () => chart.matches(":focus-visible") && show(marks[0]));
      chart.addEventListener("blur", hide);
      chart.addEventListener("keydown", (event) => {
        const at = marks.indexOf(marked);
        const to = { ArrowRight: at + 1, ArrowLeft: at < 0 ? 0 : at - 1, Home: 0, End: marks.length - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        show(marks[Math.max(0, Math.min(to, marks.length - 1))]);
      });
    }
    document.addEventListener("pointerover", (event) => {
      const mark = event.target.closest?.("[data-tip]");
      if (mark) show(mark, event.clientX);
      else hide();
    });
    document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
    // A chart that is reached with the keyboard may be scrolled to, and keeps telling.
    const follow = () => marked && marked.ownerSVGElement === document.activeElement ? show(marked) : hide();
    document.addEventListener("scroll", follow, { passive: true, capture: true });
    document.body.append(tip);
  };

  all("table[data-sortable]").forEach(makeSortable);
  all("table[data-search]").forEach(makeSearchable);
  all(".samples[data-cards]").forEach(makeCards);
  all("main > section").forEach(makeFold);
  makeTips();
})();

"use strict";
(() => {
  const { say } = latentbench;

  // A click on a column's head sorts its table by it: upwards, downwards, as it was.
  const sorts = { none: "ascending", ascending: "descending", descending: "none" };
  const sort = (table, head, order) => {
    const body = table.tBodies[0], k = head.cellIndex, sign = order === "descending" ? -1 : 1;
    const key = (row) => k ? parseFloat(row.cells[k].dataset.value) : row.cells[0].textContent.trim();
    const rows = [...body.rows].sort((a, b) => a.dataset.place - b.dataset.place);
    if (order !== "none") rows.sort((a, b) => {
      const x = key(a), y = key(b);
      if (!k) return sign * x.localeCompare(y);
      return Number.isNaN(x) - Number.isNaN(y) || (Number.isNaN(x) ? 0 : sign * (x - y));
    });
    for (const row of rows) body.append(row);
    for (const other of table.tHead.rows[0].cells) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", other === head ? order : "none");
  };
  for (const table of document.querySelectorAll("table.scores")) {
    [...table.tBodies[0].rows].forEach((row, place) => { row.dataset.place = place; });
    for (const head of table.tHead.rows[0].cells) {
      if (head.classList.contains("between")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(table, head, sorts[head.getAttribute("aria-sort")]));
    }
  }

  // What is typed is looked for in a measure's row and in its definition; families with a hit open.
  for (const input of document.querySelectorAll(".finder input")) {
    const shown = input.parentElement.querySelector("output"), families = [];
    for (let e = input.parentElement.nextElementSibling; e && e.matches("details.family"); e = e.nextElementSibling)
      if (e.querySelector("table.scores")) families.push({ fold: e, open: e.open, rows: [...e.querySelectorAll("table.scores tbody tr")] });
    const texts = new Map();
    const text = (row) => {
      if (!texts.has(row)) {
        const definition = document.getElementById(row.querySelector("a").hash.slice(1));
        texts.set(row, (row.textContent + " " + (definition ? definition.textContent : "")).toLowerCase());
      }
      return texts.get(row);
    };
    let asked = "";
    input.addEventListener("input", () => {
      const words = input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
      if (!asked) for (const family of families) family.open = family.fold.open;
      asked = words.join(" ");
      let n = 0, all = 0;
      for (const { fold, open, rows } of families) {
        let hits = 0;
        for (const row of rows) {
          row.hidden = !words.every((word) => text(row).includes(word));
          hits += !row.hidden;
        }
        fold.hidden = !hits;
        fold.open = words.length ? hits > 0 : open;
        n += hits;
        all += rows.length;
      }
      shown.textContent = words.length ? say("measures_shown", { n, all }) : say("measures_all", { all });
    });
  }
})();

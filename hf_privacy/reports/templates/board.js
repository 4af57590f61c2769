"use strict";
(() => {
  const tables = [...document.querySelectorAll("table.board")];
  const form = document.getElementById("filters");
  const count = document.getElementById("count");

  // A missing figure comes last, whichever way it is sorted.
  const compare = (column, kind, direction) => (one, other) => {
    const [a, b] = [one, other].map((row) => row.cells[column]);
    if (kind === "text") return direction * a.textContent.localeCompare(b.textContent, "en", { numeric: true });
    const [x, y] = [a, b].map((cell) => (cell.dataset.value === undefined ? null : Number(cell.dataset.value)));
    if (x === null || y === null) return (x === null) - (y === null);
    return direction * (x - y);
  };

  for (const table of tables) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = head.dataset.order === "down" ? "descending" : "ascending";
        const turned = { ascending: "descending", descending: "ascending" };
        const sorted = turned[head.getAttribute("aria-sort")] || first;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", sorted);
        const body = table.tBodies[0];
        const kind = head.dataset.order === "text" ? "text" : "number";
        body.append(...[...body.rows].sort(compare(column, kind, sorted === "ascending" ? 1 : -1)));
      });
    });
  }

  const shown = (row, asked) =>
    Object.entries(asked).every(([name, value]) => {
      if (!value) return true;
      return name === "attack" && value === "(strongest)" ? row.dataset.strongest === "yes" : row.dataset[name] === value;
    });

  const filter = () => {
    const asked = Object.fromEntries(new FormData(form));
    let left = 0, all = 0;
    for (const table of tables) {
      const rows = [...table.tBodies[0].rows];
      for (const row of rows) row.hidden = !shown(row, asked);
      const visible = rows.filter((row) => !row.hidden).length;
      table.closest("section").hidden = visible === 0;
      left += visible;
      all += rows.length;
    }
    document.body.dataset.attack = asked.attack; // what all rows are need not be said in each
    count.textContent = `${left} of ${all} rows`;
  };

  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  form.hidden = false;
  filter();
})();

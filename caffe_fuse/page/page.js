"use strict";
// Tables can be sorted and searched; a link to a row finds it wherever it is hidden; nothing is hidden on paper.
function sortBy(table, place, isNumber, up) {
  const key = row => {
    const words = row.cells[place].textContent.trim();
    if (!isNumber) return words;
    const number = Number(words.replace(/,|[ ]%$/g, "").replace(/inf$/, "Infinity"));
    return words === "" || isNaN(number) ? null : number;
  };
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, row => [key(row), row]);
  const names = new Intl.Collator("en", {numeric: true}).compare;
  const order = isNumber ? (a, b) => (a > b) - (a < b) : names;
  rows.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null) : (up ? 1 : -1) * order(a, b));
  body.append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sorts")) {
  Array.from(table.tHead.rows[0].cells, (head, place) => {
    head.tabIndex = 0;  // a button in it would not be repeated on each sheet of paper
    head.onclick = () => {
      const isNumber = head.classList.contains("n");
      const first = isNumber ? "descending" : "ascending", second = isNumber ? "ascending" : "descending";
      const order = head.getAttribute("aria-sort") === first ? second : first;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      sortBy(table, place, isNumber, order === "ascending");
    };
    head.onkeydown = event => {
      if (event.key === "Enter") head.onclick();
    };
  });
  if (table.tBodies[0].rows.length <= 12) continue;
  const field = document.createElement("input"), count = document.createElement("span");
  field.type = "search";
  field.placeholder = "search these rows";
  field.setAttribute("aria-label", field.placeholder);
  field.oninput = () => {
    const wanted = field.value.trim().toLowerCase();
    const rows = Array.from(table.tBodies[0].rows);
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    count.textContent = wanted ? ` ${rows.filter(row => !row.hidden).length} of ${rows.length}` : "";
  };
  const line = document.createElement("p");
  line.className = "search";
  line.append(field, count);
  table.before(line);
}

function reveal() {
  const row = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!row) return;
  row.hidden = false;
  for (let part = row.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
  row.scrollIntoView({block: "center"});
}
addEventListener("hashchange", reveal);
reveal();

let closed = [];
addEventListener("beforeprint", () => {
  closed = Array.from(document.querySelectorAll("details:not([open])"));
  for (const each of closed) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of closed) each.open = false;
});

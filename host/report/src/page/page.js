"use strict";
// Light and dark: the system's choice until the button is pressed.
(() => {
  const root = document.documentElement;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
})();

// Tables: a click on a column head sorts, a second one reverses the order.
// Cells without a number stay at the end.
(() => {
  const key = (row, column, numeric) => {
    const cell = row.cells[column];
    if (!numeric) return cell.textContent.trim();
    return cell.dataset.s === undefined ? NaN : Number(cell.dataset.s);
  };
  for (const head of document.querySelectorAll("thead th")) {
    head.querySelector("button").addEventListener("click", () => {
      const table = head.closest("table");
      const body = table.tBodies[0];
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const numeric = head.classList.contains("num");
      const sign = down ? -1 : 1;
      const rows = Array.from(body.rows, (row) => [key(row, head.cellIndex, numeric), row]);
      rows.sort(([a], [b]) => {
        if (!numeric) return sign * a.localeCompare(b);
        if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
        return sign * (a - b);
      });
      // Rows that are not variants stay at the end.
      const last = (row) => Number("last" in row.dataset);
      const ordered = rows.map((pair) => pair[1]).sort((a, b) => last(a) - last(b));
      body.append(...ordered);
    });
  }
})();

const save = (name, type, text) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};

// A figure as one SVG document: its panels side by side, on white.
const figureSvg = (figure) => {
  const panels = Array.from(figure.querySelectorAll("svg"));
  const boxes = panels.map((svg) => svg.viewBox.baseVal);
  const legend = (i) => panels[i].classList.contains("legend");
  const columns = Math.min(3, panels.filter((_, i) => !legend(i)).length) || 1;
  const gap = 30;
  let [x, y, tallest, place, width] = [0, 0, 0, 0, 0];
  const parts = [];
  panels.forEach((svg, i) => {
    if (place > 0 && (place === columns || legend(i))) {
      [x, y, tallest, place] = [0, y + tallest + gap, 0, 0];
    }
    const box = boxes[i];
    const copy = svg.cloneNode(true);
    for (const name of ["class", "role", "tabindex", "style", "id"]) copy.removeAttribute(name);
    for (const [name, value] of [["x", x], ["y", y], ["width", box.width], ["height", box.height]]) {
      copy.setAttribute(name, value);
    }
    copy.querySelectorAll("[tabindex]").forEach((e) => ["tabindex", "role"].forEach((n) => e.removeAttribute(n)));
    parts.push(new XMLSerializer().serializeToString(copy));
    width = Math.max(width, x + box.width);
    tallest = Math.max(tallest, box.height);
    x += box.width + gap;
    place += 1;
  });
  const height = y + tallest;
  // Ten units are a millimetre.
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width / 10}mm" height="${height / 10}mm" ` +
    `viewBox="0 0 ${width} ${height}" color="#000000" font-family="Helvetica, Arial, sans-serif">` +
    `<rect width="100%" height="100%" fill="#FFFFFF"/>${parts.join("\n")}</svg>\n`;
};

// A table as CSV. Columns of numbers hold numbers: a cell such as 0.9 [0.8, 0.95]
// fills three columns, and one without a number none.
const tableCsv = (table) => {
  const quote = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const heads = Array.from(table.querySelectorAll("thead th"));
  const rows = Array.from(table.querySelectorAll("tbody tr"), (row) => Array.from(row.cells));
  const numbers = (cell) => {
    if (cell.dataset.n === undefined) return new Map(cell.dataset.s === undefined ? [] : [["", cell.dataset.s]]);
    return new Map(cell.dataset.n.split(";").filter(Boolean).map((part) => part.split("=")));
  };
  const columns = heads.map((head, at) => {
    const title = head.textContent.trim();
    if (!head.classList.contains("num")) return [[title, (cell) => cell.textContent.trim()]];
    const parts = new Set(rows.flatMap((row) => Array.from(numbers(row[at]).keys())));
    const names = parts.size > 0 ? Array.from(parts) : [""];
    return names.map((part) => [`${title} ${part}`.trim(), (cell) => numbers(cell).get(part) || ""]);
  });
  const lines = [columns.flat().map(([title]) => title)];
  for (const row of rows) lines.push(columns.flatMap((own, at) => own.map(([, of]) => of(row[at]))));
  return lines.map((line) => `${line.map(quote).join(",")}\n`).join("");
};

(() => {
  for (const button of document.querySelectorAll("[data-svg]")) {
    const name = button.dataset.svg;
    button.setAttribute("aria-label", `Save ${name} as SVG`);
    button.addEventListener("click", () => {
      save(`${name}.svg`, "image/svg+xml", figureSvg(button.closest("figure")));
    });
  }
  for (const button of document.querySelectorAll("[data-csv]")) {
    const name = button.dataset.csv;
    button.setAttribute("aria-label", `Save ${name} as CSV`);
    button.addEventListener("click", () => {
      save(`${name}.csv`, "text/csv", tableCsv(document.getElementById(name)));
    });
  }
})();

// Legends: a click on a variant highlights it in its figure.
(() => {
  for (const legend of document.querySelectorAll("svg.legend")) {
    const figure = legend.closest("figure");
    for (const entry of legend.querySelectorAll("[data-v]")) {
      entry.setAttribute("tabindex", "0");
      entry.setAttribute("role", "button");
      entry.setAttribute("aria-pressed", "false");
      const pick = () => {
        const on = entry.classList.contains("on");
        for (const other of figure.querySelectorAll(`[data-v="${entry.dataset.v}"]`)) other.classList.toggle("on", !on);
        entry.setAttribute("aria-pressed", String(!on));
        figure.classList.toggle("picked", figure.querySelector(".legend .on") !== null);
      };
      entry.addEventListener("click", pick);
      entry.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          pick();
        }
      });
    }
  }
})();

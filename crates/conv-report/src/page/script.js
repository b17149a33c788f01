"use strict";
(() => {
    const units = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

    // "1.93 MiB", "12,345", "2.5e-6", "0", "3.210 ~" as numbers; null for anything else.
    const number = (text) => {
        const parts = /^(-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?)(?: (B|[KMGT]iB))?(?: ~)?$/.exec(text);
        return parts && Number(parts[1].replaceAll(",", "")) * (units[parts[2]] || 1);
    };

    // Numbers by size, texts by the numbers in them, empty cells last whichever way it is sorted.
    const compare = (a, b, sign) => {
        if (!a || !b) {
            return Number(!a) - Number(!b);
        }
        const [x, y] = [number(a), number(b)];
        return sign * (x !== null && y !== null ? x - y : a.localeCompare(b, "en", { numeric: true }));
    };

    const sort = (table, column, header) => {
        const ascending = header.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) {
            other.setAttribute("aria-sort", "none");
        }
        header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        const text = (row) => row.cells[column].textContent;
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => compare(text(a), text(b), ascending ? 1 : -1));
        table.tBodies[0].append(...rows);
    };

    const addSorting = (table) => {
        [...table.tHead.rows[0].cells].forEach((header, column) => {
            const button = document.createElement("button");
            button.type = "button";
            button.append(...header.childNodes);
            button.addEventListener("click", () => sort(table, column, header));
            header.append(button);
            header.setAttribute("aria-sort", "none");
        });
    };

    // Every word must be somewhere in the row.
    const addFilter = (grid, table) => {
        const rows = [...table.tBodies[0].rows];
        if (rows.length < 4) {
            return;
        }
        const box = document.createElement("div");
        box.className = "filter";
        const label = document.createElement("label");
        const input = document.createElement("input");
        const count = document.createElement("output");
        input.type = "search";
        input.spellcheck = false;
        label.append("Filter ", input);
        box.append(label, count);
        const apply = () => {
            const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
            let shown = 0;
            for (const row of rows) {
                const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
                row.hidden = !words.every((word) => text.includes(word));
                shown += row.hidden ? 0 : 1;
            }
            count.value = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
        };
        input.addEventListener("input", apply);
        apply();
        grid.querySelector(".scroll").before(box);
    };

    for (const grid of document.querySelectorAll(".grid")) {
        const table = grid.querySelector("table");
        addSorting(table);
        addFilter(grid, table);
    }

    // A link into a part that is closed opens it.
    const open = () => {
        const target = document.getElementById(location.hash.slice(1));
        for (let part = target; part; part = part.parentElement) {
            if (part.tagName === "DETAILS") {
                part.open = true;
            }
        }
    };
    window.addEventListener("hashchange", open);
    open();
})();

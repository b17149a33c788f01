// What is asked of the page from inside it. Each function returns a list of complaints.
(() => {
    const name = (element) => `${element.tagName.toLowerCase()}#${element.id}.${element.getAttribute("class") || ""}`;

    const channels = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);

    const luminance = (colour) => {
        const [r, g, b] = channels(colour).map((value) => {
            const share = value / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };

    // The boxes of each chart's shapes, in the order in which they were drawn.
    const shapes = new Map();
    const shapesOf = (chart) => {
        if (!shapes.has(chart)) {
            const all = [...chart.querySelectorAll("rect, polygon")];
            shapes.set(chart, all.map((shape) => ({ shape, box: shape.getBBox(), fill: getComputedStyle(shape).fill })));
        }
        return shapes.get(chart);
    };

    // The colour of the last shape that was drawn before a chart's text under its middle.
    const shapeUnder = (text) => {
        const { x, y, width, height } = text.getBBox();
        const [across, down] = [x + width / 2, y + height / 2];
        const holds = ({ shape, box }) =>
            box.x <= across && across <= box.x + box.width && box.y <= down && down <= box.y + box.height &&
            shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING;
        return shapesOf(text.ownerSVGElement).findLast(holds);
    };

    const ground = (element) => {
        const shape = element.tagName === "text" ? shapeUnder(element) : null;
        if (shape) {
            return shape.fill;
        }
        for (let part = element; part; part = part.parentElement) {
            const colour = getComputedStyle(part).backgroundColor;
            const alpha = channels(colour)[3];
            if (alpha === undefined || alpha === 1) {
                return colour;
            }
        }
        return "rgb(255, 255, 255)";
    };

    window.page = {
        luminance: () => luminance(ground(document.body)),

        // WCAG 2.2 AA: 4.5, and 3 for large text.
        contrast: () => {
            const [bad, seen] = [[], new Map()];
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) {
                const element = walker.currentNode.parentElement;
                if (!walker.currentNode.data.trim() || element.closest("script, title, desc")) {
                    continue;
                }
                const style = getComputedStyle(element);
                const ink = element.namespaceURI.endsWith("svg") ? style.fill : style.color;
                const size = parseFloat(style.fontSize);
                const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
                const under = ground(element);
                const pair = `${ink} on ${under}`;
                if (!seen.has(pair)) {
                    const [a, b] = [luminance(ink), luminance(under)].sort((x, y) => y - x);
                    seen.set(pair, (a + 0.05) / (b + 0.05));
                }
                if (seen.get(pair) < least) {
                    bad.push(`${name(element)}: ${pair} is ${seen.get(pair).toFixed(2)}`);
                }
            }
            return seen.size < 3 ? ["hardly any text was found"] : bad.slice(0, 5);
        },

        overflow: () => {
            const { scrollWidth, clientWidth } = document.documentElement;
            const wide = scrollWidth > clientWidth ? [`${scrollWidth} of ${clientWidth} pixels`] : [];
            const beyond = (element) => element.getBoundingClientRect().right > clientWidth + 1;
            return wide.concat([...document.querySelectorAll("main > section > *")].filter(beyond).map(name).slice(0, 5));
        },

        charts: () => {
            const charts = [...document.querySelectorAll("svg")];
            const bad = charts.length < 10 ? [`${charts.length} charts`] : [];
            for (const chart of charts) {
                const { width, height } = chart.getBoundingClientRect();
                const words = chart.getAttribute("aria-labelledby").split(" ").map((id) => document.getElementById(id));
                const told = words.length === 2 && words.every((part) => part && part.textContent.length > 20);
                if (width < 300 || height < 80 || chart.getAttribute("role") !== "img" || !told) {
                    bad.push(`${name(chart)}: ${width} x ${height}, ${told ? "told" : "no words"}`);
                }
            }
            return bad;
        },

        ids: () => {
            const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
            const links = [...document.querySelectorAll("a[href^='#']")].map((link) => link.hash.slice(1));
            const twice = ids.filter((id, place) => ids.indexOf(id) !== place);
            return twice.concat(links.filter((id) => !ids.includes(id)));
        },

        // The biggest table, its header of milliseconds, and what its rows show.
        table: () => {
            const size = (grid) => grid.querySelectorAll("tbody tr").length;
            const grids = [...document.querySelectorAll("#throughput .grid")];
            return grids.sort((a, b) => size(b) - size(a))[0];
        },
        header: () => [...page.table().querySelectorAll("thead th")].find((cell) => cell.textContent.trim() === "ms"),
        rows: () => [...page.table().querySelectorAll("tbody tr")].filter((row) => row.offsetHeight > 0),
        milliseconds: () => page.rows().map((row) => Number(row.cells[page.header().cellIndex].textContent)),
    };
})();

"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const svg = document.querySelector("svg");
  const table = document.getElementById("values");
  const { left, right } = { left: data.panels[0].box[0], right: data.panels[0].box[2] };
  const places = [...new Set(data.panels.flatMap((p) => p.lines.flatMap((l) => l.xs)))].sort((a, b) => a - b);
  const timed = data.axis.title.startsWith("time");

  // The index of the last number that is not above x; 0 if all are.
  function below(numbers, x) {
    let low = 0, high = numbers.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (numbers[middle] <= x) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  function nearest(numbers, x) {
    const at = below(numbers, x);
    return at + 1 < numbers.length && numbers[at + 1] - x < x - numbers[at] ? at + 1 : at;
  }

  // The value of a line at x: exact at its points, a straight line between them.
  function valueAt(line, x) {
    const at = below(line.xs, x);
    if (x < line.xs[0] || (at + 1 === line.xs.length && x > line.xs[at])) return null;
    if (line.xs[at] === x) return line.ys[at];
    const share = (x - line.xs[at]) / (line.xs[at + 1] - line.xs[at]);
    return line.ys[at] + share * (line.ys[at + 1] - line.ys[at]);
  }

  function element(name, attributes, parent) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return (parent || svg).appendChild(made);
  }

  function placeText(x) {
    if (!timed) return "update " + Math.round(x).toLocaleString("en");
    const clock = [x / 3600, (x / 60) % 60, x % 60].map((n) => String(Math.floor(n)).padStart(2, "0"));
    return "after " + clock.join(":");
  }

  function valueText(value) {
    if (value === 0) return "0";
    const small = Math.abs(value) < 0.001;
    return small ? Number(value.toPrecision(6)).toExponential() : String(Number(value.toPrecision(6)));
  }

  const layer = element("g", { "aria-hidden": "true" });
  const styles = 6;
  let current = 0;

  function show(index) {
    current = Math.max(0, Math.min(places.length - 1, index));
    const x = places[current];
    const across = left + ((right - left) * (x - data.axis.low)) / (data.axis.high - data.axis.low);
    layer.replaceChildren();
    const rows = [[placeText(x), ""]];
    for (const panel of data.panels) {
      const [, top, , bottom] = panel.box;
      element("path", { class: "cursor", d: `M${across} ${top}V${bottom}` }, layer);
      for (const line of panel.lines) {
        const value = valueAt(line, x);
        if (value === null) continue;
        const height = bottom - ((bottom - top) * (value - panel.low)) / (panel.high - panel.low);
        element("circle", { class: `s${line.style % styles} spot`, cx: across, cy: height, r: 4 }, layer);
        const name = data.names.length > 1 ? `${data.names[line.style]}: ` : "";
        rows.push([name + panel.title, valueText(value)]);
      }
    }
    table.replaceChildren(...rows.map(row));
  }

  function row(cells) {
    const made = document.createElement("tr");
    cells.forEach((text, place) => {
      made.appendChild(document.createElement(place ? "td" : "th")).textContent = text;
    });
    return made;
  }

  svg.setAttribute("tabindex", "0");
  svg.addEventListener("pointermove", (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const share = (point.x - left) / (right - left);
    show(nearest(places, data.axis.low + share * (data.axis.high - data.axis.low)));
  });
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -places.length, End: places.length }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    show(current + move);
  });
  show(0);
})();

"use strict";
// Curves of trainings. Points that fall into one column of pixels are joined: their lowest and highest value stay visible as a
// band, so that no spike is lost at any zoom; the line is the mean of the column, smoothed if that is chosen.
(() => {
  const WIDTH = 640, HEIGHT = 300, LEFT = 76, RIGHT = 16, TOP = 12, BOTTOM = 44;
  const COLUMNS = WIDTH - LEFT - RIGHT, MOST_DOTS = 40;
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("controls");
  const chosen = { over: "updates", smoothing: 0, log: false, hidden: new Set() };
  const zooms = new Map(); // node -> visible range of x
  const charts = [];

  const element = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const shown = (value) => value !== 0 && Math.abs(value) < 1e-3 ? Number(value.toPrecision(4)).toExponential()
    : value.toLocaleString("en-US", { maximumSignificantDigits: 6 });
  const firstAtLeast = (values, wanted) => {
    let low = 0, high = values.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] < wanted) low = middle + 1; else high = middle;
    }
    return low;
  };

  // Exponential moving average without the pull of its start (Kingma and Ba 2015, section 3, on the bias of such averages).
  const smooth = (values, weight) => {
    let sum = 0, share = 0;
    return values.map((value) => {
      sum = weight * sum + (1 - weight) * value;
      share = weight * share + (1 - weight);
      return sum / share;
    });
  };

  // One entry for each column of pixels that has points; a point on either side of the visible range leads out of it.
  const columns = (xs, low, high, [x0, x1]) => {
    const from = Math.max(0, firstAtLeast(xs, x0) - 1), to = Math.min(xs.length, firstAtLeast(xs, x1) + 2);
    const found = [];
    for (let i = from; i < to; i++) {
      const column = Math.floor((xs[i] - x0) / (x1 - x0) * COLUMNS), last = found[found.length - 1];
      if (last && last.column === column) {
        last.low = Math.min(last.low, low[i]);
        last.high = Math.max(last.high, high[i]);
        last.sum += (low[i] + high[i]) / 2;
        last.x += xs[i];
        last.count += 1;
      } else {
        found.push({ column, x: xs[i], low: low[i], high: high[i], sum: (low[i] + high[i]) / 2, count: 1 });
      }
    }
    return found.map((one) => ({ ...one, x: one.x / one.count, mean: one.sum / one.count }));
  };

  const ticks = (low, high) => {
    let step = 10 ** Math.floor(Math.log10((high - low) / 4 || 1));
    step *= [1, 2, 5, 10].find((factor) => (high - low) / (step * factor) <= 6) || 10;
    const found = [];
    for (let n = Math.ceil(low / step); n <= Math.floor(high / step); n++) found.push(+(n * step).toPrecision(12));
    return found;
  };
  const logTicks = (low, high) => {
    const found = [];
    for (let power = Math.floor(low); power <= high; power++)
      for (const factor of high - low > 3 ? [1] : [1, 2, 5]) found.push(Math.log10(factor) + power);
    return found.filter((at) => at >= low && at <= high);
  };

  const series = (chart) => chart.series.filter((one) => one.x[chosen.over] && one.runs.some((run) => !chosen.hidden.has(run)));
  const style = (one) => data.runs[one.runs.find((run) => !chosen.hidden.has(run)) ?? one.runs[0]].style;
  const names = (one) => one.runs.map((run) => data.runs[run].name).join(", ");
  const wholeRange = (chart) => {
    const ends = charts.filter((other) => other.node === chart.node).flatMap(series).flatMap((one) => {
      const xs = one.x[chosen.over], raw = one.raw.x[chosen.over];
      return [xs[0], xs[xs.length - 1], raw[0], raw[raw.length - 1]].filter((x) => x !== undefined);
    });
    const low = Math.min(...ends), high = Math.max(...ends);
    return low <= high / 3 && low >= 0 ? [0, high || 1] : low < high ? [low, high] : [low - 1, high + 1];
  };
  const visibleRange = (chart) => zooms.get(chart.node) || wholeRange(chart);
  const within = (points, [x0, x1]) => points.filter((one) => one.x >= x0 && one.x <= x1);

  function draw(chart) {
    const mine = series(chart), { svg } = chart;
    svg.replaceChildren();
    chart.output.textContent = "";
    if (!mine.length) {
      svg.append(element("text", { x: WIDTH / 2, y: HEIGHT / 2, "text-anchor": "middle", class: "axis" }, "no curve of the chosen runs over " + data.axes[chosen.over]));
      svg.setAttribute("aria-label", `${chart.title}: no curve`);
      return;
    }
    const range = visibleRange(chart), scale = (y) => chosen.log ? Math.log10(y) : y;
    const usable = (one) => !chosen.log || one.low > 0;
    const drawn = mine.map((one) => {
      const ys = chosen.smoothing ? smooth(one.y, chosen.smoothing) : one.y;
      const line = columns(one.x[chosen.over], ys, ys, range).filter(usable);
      const band = columns(one.raw.x[chosen.over], one.raw.low, one.raw.high, range).filter(usable);
      return { one, line, band };
    });
    const seen = drawn.flatMap(({ line, band }) => [...within(line, range), ...within(band, range)]);
    let bottom = Math.min(...seen.map((one) => scale(one.low))), top = Math.max(...seen.map((one) => scale(one.high)));
    if (!seen.length) [bottom, top] = [0, 1];
    const room = 0.05 * (top - bottom) || 0.5;
    [bottom, top] = [bottom - room, top + room];
    chart.px = (x) => LEFT + (x - range[0]) / (range[1] - range[0]) * COLUMNS;
    chart.py = (y) => HEIGHT - BOTTOM - (scale(y) - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM);
    chart.xOf = (px) => range[0] + (px - LEFT) / COLUMNS * (range[1] - range[0]);
    axes(chart, range, bottom, top);
    const clip = element("svg", { x: LEFT, y: 0, width: COLUMNS, height: HEIGHT - BOTTOM + 2, viewBox: `${LEFT} 0 ${COLUMNS} ${HEIGHT - BOTTOM + 2}` });
    for (const { one, band } of drawn) if (band.length && (one.single || chosen.smoothing || band.some((at) => at.count > 1))) clip.append(bandOf(chart, one, band));
    for (const { one, line } of drawn) if (line.length) clip.append(...lineOf(chart, one, line));
    svg.append(clip);
    svg.setAttribute("aria-label", `${chart.title} of ${chart.node} over ${data.axes[chosen.over]}. ` + drawn.filter(({ line }) => line.length)
      .map(({ one, line }) => `${names(one)}: from ${shown(line[0].mean)} to ${shown(line[line.length - 1].mean)}`).join("; "));
  }

  function axes(chart, [x0, x1], bottom, top) {
    const { svg } = chart;
    for (const at of chosen.log ? logTicks(bottom, top) : ticks(bottom, top)) {
      const value = chosen.log ? 10 ** at : at, y = chart.py(value).toFixed(1);
      svg.append(element("path", { class: "grid", d: `M${LEFT} ${y}H${WIDTH - RIGHT}` }));
      svg.append(element("text", { class: "tick", x: LEFT - 6, y: +y + 4, "text-anchor": "end" }, shown(value)));
    }
    for (const at of ticks(x0, x1))
      svg.append(element("text", { class: "tick", x: chart.px(at).toFixed(1), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, shown(at)));
    svg.append(element("text", { class: "axis", x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, data.axes[chosen.over]));
  }

  function bandOf(chart, one, band) {
    const at = (x, y) => `${chart.px(x).toFixed(1)} ${chart.py(y).toFixed(1)}`;
    const d = `M${band.map((point) => at(point.x, point.high)).join("L")}L${[...band].reverse().map((point) => at(point.x, point.low)).join("L")}Z`;
    const inside = within(band, visibleRange(chart)); // for tests, and for whoever inspects the page
    return element("path", {
      class: `band ${style(one)}`, d, "data-runs": one.runs.join(" "),
      "data-low": Math.min(...inside.map((point) => point.low)), "data-high": Math.max(...inside.map((point) => point.high)),
    });
  }

  function lineOf(chart, one, line) {
    const at = (point) => `${chart.px(point.x).toFixed(1)} ${chart.py(point.mean).toFixed(1)}`;
    const parts = [element("path", { class: `line ${style(one)}`, d: `M${line.map(at).join("L")}`, "data-runs": one.runs.join(" ") })];
    if (line.length <= MOST_DOTS)
      for (const point of line) parts.push(element("circle", { class: `at ${style(one)}`, cx: chart.px(point.x).toFixed(1), cy: chart.py(point.mean).toFixed(1), r: 2.5 }));
    return parts;
  }

  // The readings nearest to a place, and what single updates there had: numbers as they were recorded.
  function read(chart, x) {
    const near = (xs) => {
      const after = Math.min(firstAtLeast(xs, x), xs.length - 1);
      return after > 0 && x - xs[after - 1] < xs[after] - x ? after - 1 : after;
    };
    chart.at = x;
    chart.svg.querySelector(".cursor")?.remove();
    const px = chart.px(x).toFixed(1);
    chart.svg.append(element("path", { class: "cursor", d: `M${px} ${TOP}V${HEIGHT - BOTTOM}` }));
    chart.output.textContent = series(chart).map((one) => {
      const words = [];
      const xs = one.x[chosen.over], i = near(xs);
      if (i >= 0) words.push(`${shown(one.y[i])} at ${shown(xs[i])}`);
      const raw = one.raw.x[chosen.over], j = near(raw);
      if (one.single && j >= 0) {
        const { low, high, group } = one.raw, update = shown(one.raw.x.updates[j]);
        words.push(group > 1 ? `${group} updates around ${update}: ${shown(low[j])} to ${shown(high[j])}` : `update ${update}: ${shown(low[j])}`);
      }
      return `${names(one)}: ${words.join("; ")}`;
    }).join("\n");
  }

  function zoom(node, range) {
    const whole = wholeRange(charts.find((chart) => chart.node === node));
    const [low, high] = range ? [Math.max(whole[0], range[0]), Math.min(whole[1], range[1])] : whole;
    if (range && high - low > 1e-6 * (whole[1] - whole[0]) && (low > whole[0] || high < whole[1])) zooms.set(node, [low, high]);
    else zooms.delete(node);
    for (const chart of charts) if (chart.node === node) draw(chart);
  }

  function listen(chart) {
    const { svg, node } = chart;
    const place = (event) => {
      const box = svg.getBoundingClientRect();
      return chart.xOf(Math.min(WIDTH - RIGHT, Math.max(LEFT, (event.clientX - box.left) / box.width * WIDTH)));
    };
    let began = null, selection = null;
    svg.addEventListener("pointerdown", (event) => {
      if (!series(chart).length || event.pointerType === "touch") return;
      began = place(event);
      selection = element("rect", { class: "selection", y: TOP, height: HEIGHT - TOP - BOTTOM, x: 0, width: 0 });
      svg.append(selection);
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      if (!series(chart).length) return;
      const x = place(event);
      read(chart, x);
      if (began === null) return;
      const ends = [chart.px(began), chart.px(x)];
      selection.setAttribute("x", Math.min(...ends));
      selection.setAttribute("width", Math.abs(ends[1] - ends[0]));
    });
    svg.addEventListener("pointerup", (event) => {
      if (began === null) return;
      const ends = [began, place(event)], wide = Math.abs(chart.px(ends[1]) - chart.px(ends[0])) > 4;
      selection.remove();
      began = null;
      if (wide) zoom(node, [Math.min(...ends), Math.max(...ends)]);
    });
    svg.addEventListener("dblclick", () => zoom(node, null));
    svg.addEventListener("keydown", (event) => {
      if (!series(chart).length) return;
      const [x0, x1] = visibleRange(chart), at = chart.at >= x0 && chart.at <= x1 ? chart.at : (x0 + x1) / 2, step = (x1 - x0) / 50;
      if (event.key === "Escape") zoom(node, null);
      else if (event.key === "+" || event.key === "=") zoom(node, [at - (at - x0) / 2, at + (x1 - at) / 2]);
      else if (event.key === "-") zoom(node, [at - (at - x0) * 2, at + (x1 - at) * 2]);
      else if (event.key === "ArrowLeft" || event.key === "ArrowRight") read(chart, Math.min(x1, Math.max(x0, at + (event.key === "ArrowLeft" ? -step : step))));
      else return;
      event.preventDefault();
    });
  }

  for (const place of document.querySelectorAll(".charts")) {
    const node = place.dataset.node, trainings = data.trainings.filter((one) => one.node === node);
    for (const [metric, title] of Object.entries(data.titles)) {
      const found = trainings.filter((one) => one.curves[metric] || (metric === "training.loss" && one.band)).map((one) => {
        const curve = one.curves[metric] || { x: { updates: [], tokens: [], seconds: [] }, y: [] };
        const single = metric === "training.loss" && one.band;
        return { runs: one.runs, ...curve, single: Boolean(single), raw: single || { x: curve.x, low: curve.y, high: curve.y, group: 1 } };
      });
      if (!found.length) continue;
      const figure = document.createElement("figure"), caption = document.createElement("figcaption"), output = document.createElement("output");
      const svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "fits", role: "img", tabindex: "0", "data-metric": metric });
      caption.textContent = title;
      figure.append(caption, svg, output);
      place.append(figure);
      charts.push({ node, metric, title, series: found, svg, output });
    }
    const broken = trainings.filter((one) => one.not_finite.length);
    place.nextElementSibling.textContent = broken.map((one) => `${names(one)}: the loss was not finite at update ${one.not_finite.join(", ")}.`).join(" ");
  }
  charts.forEach(listen);
  form.addEventListener("input", () => {
    const over = form.elements.over.value;
    if (over !== chosen.over) zooms.clear();
    Object.assign(chosen, { over, smoothing: +form.elements.smoothing.value, log: form.elements.log.checked });
    chosen.hidden = new Set([...form.querySelectorAll("input[name=run]")].filter((box) => !box.checked).map((box) => +box.value));
    document.getElementById("smoothing").textContent = chosen.smoothing ? chosen.smoothing.toFixed(2) : "raw";
    charts.forEach(draw);
  });
  form.elements.reset.addEventListener("click", () => { zooms.clear(); charts.forEach(draw); });
  charts.forEach(draw);
})();

"use strict";
// Draws what the server sent as JSON, and folds the tables that say the same. Without this file every page still works.
(() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const tones = () => ({ a: css("--a"), b: css("--b"), c: css("--c"), band: css("--band-edge") });

  function rulesPlugin(rules) {
    return {
      hooks: {
        draw: [(u) => {
          const { ctx, bbox } = u;
          const ratio = devicePixelRatio || 1;
          ctx.save();
          ctx.font = `${11 * ratio}px ${css("--font")}`;
          for (const rule of rules) {
            const y = Math.round(u.valToPos(rule.at, "y", true));
            if (y < bbox.top || y > bbox.top + bbox.height) continue;
            ctx.strokeStyle = ctx.fillStyle = css("--soft");
            ctx.lineWidth = ratio;
            ctx.setLineDash([4 * ratio, 4 * ratio]);
            ctx.beginPath();
            ctx.moveTo(bbox.left, y);
            ctx.lineTo(bbox.left + bbox.width, y);
            ctx.stroke();
            ctx.textAlign = "right";
            ctx.textBaseline = "bottom";
            ctx.fillText(rule.name, bbox.left + bbox.width - 4 * ratio, y - 2 * ratio);
          }
          ctx.restore();
        }],
      },
    };
  }

  // While nothing is pointed at, the legend says the last values.
  function lastValuePlugin() {
    const last = (u) => u.setLegend({ idx: u.data[0].length - 1 });
    return { hooks: { ready: [last], setCursor: [(u) => { if (u.cursor.idx == null) last(u); }] } };
  }

  // [smallest gap in seconds, what is written, and under it at the first tick of a year, a day, ...]: 24 hours a day.
  const CLOCK = [
    [86400, "{MMM} {D}", "\n{YYYY}", null, null, null, null, null, 1],
    [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MMM} {D}", null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{MMM} {D}", null, null, null, 1],
  ];

  function axis(label, more) {
    return {
      label, labelSize: 22, labelFont: `12px ${css("--font")}`, font: `11px ${css("--font")}`, stroke: css("--soft"),
      grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, ...more,
    };
  }

  const clock = (seconds) => new Date(seconds * 1e3).toISOString().slice(0, 19).replace("T", " ");

  function draw(figure) {
    const source = figure.querySelector("script[type='application/json']");
    const place = figure.querySelector(".plot");
    if (!source || !place || typeof uPlot === "undefined") return;
    const chart = JSON.parse(source.textContent);
    const colour = tones();
    const series = chart.lines.map((line) => ({
      label: line.name, stroke: colour[line.tone], width: line.tone === "band" ? 1 : 2, spanGaps: true,
      points: { show: line.values.length < 3 },
      value: (_u, v) => (v == null ? "–" : Math.abs(v) >= 10 ? v.toFixed(0) : v.toFixed(3)),
    }));
    const edges = chart.rules.map((rule) => rule.at);
    const options = {
      width: place.clientWidth, height: 260, series: [{ label: chart.x.label, value: (_u, v) => (v == null ? "–" : chart.x.time ? clock(v) : String(v)) }, ...series],
      scales: {
        x: { time: chart.x.time },
        y: { range: (_u, low, high) => {
          const all = [low, high, ...edges];
          const pad = (Math.max(...all) - Math.min(...all)) * 0.08 || 0.5;
          return [Math.min(...all) - pad, Math.max(...all) + pad];
        } },
      },
      axes: [axis(chart.x.label, chart.x.time ? { size: 54, values: CLOCK } : { size: 38 }), axis(chart.y.label, { size: 58 })],
      bands: chart.band ? [{ series: chart.band, fill: css("--band") }] : [],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
      plugins: [rulesPlugin(chart.rules), lastValuePlugin()],
      legend: { live: true },
    };
    place.replaceChildren();
    const plot = new uPlot(options, [chart.x.values, ...chart.lines.map((line) => line.values)], place);
    figure.plotted = plot;
    const numbers = figure.querySelector("details.numbers");
    if (numbers && !figure.dataset.folded) {
      numbers.open = false;
      figure.dataset.folded = "yes";
    }
  }

  function drawAll(root) {
    for (const figure of root.querySelectorAll("figure.chart")) draw(figure);
  }

  function start() {
    drawAll(document);
    let waiting = 0;
    const again = () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => drawAll(document), 120);
    };
    window.addEventListener("resize", again);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    document.body.addEventListener("htmx:afterSettle", (event) => drawAll(event.target));
  }

  document.addEventListener("DOMContentLoaded", start);
})();

"use strict";
// The page is readable without this script, which explains cells, hides columns, compares methods image by image and
// pictures in place. Sorting is in enhance.js.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const make = (tag, parent, properties) => parent.appendChild(Object.assign(document.createElement(tag), properties));
  const drawn = (tag, parent, attributes) => {
    const node = parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", tag));
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    return node;
  };
  const minus = (text) => text.replace("-", "\u2212");
  document.querySelectorAll("[hidden].controls, [hidden].viewer").forEach((each) => { each.hidden = false; });

  // What a cell means: shown for the pointer, for a touch, and for the keyboard, which moves with the arrow keys.
  const tip = make("p", document.body, { id: "tip", hidden: true });
  const explain = (cell) => {
    tip.textContent = cell.dataset.tip;
    tip.hidden = false;
    const at = cell.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.left), document.documentElement.clientWidth - tip.offsetWidth - 8);
    const below = at.bottom + 6 + tip.offsetHeight < window.innerHeight;
    tip.style.left = `${left}px`;
    tip.style.top = `${below ? at.bottom + 6 : at.top - tip.offsetHeight - 6}px`;
  };
  const hide = () => { tip.hidden = true; };
  document.querySelectorAll("td.score").forEach((cell) => {
    cell.dataset.tip = cell.title;
    cell.setAttribute("aria-description", cell.title);
    cell.removeAttribute("title");
    cell.tabIndex = -1;
    cell.onpointerenter = () => explain(cell);
    cell.onpointerleave = hide;
    cell.onfocus = () => explain(cell);
    cell.onblur = hide;
  });
  addEventListener("scroll", hide, { capture: true, passive: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.querySelectorAll("table.sortable.scores").forEach((table) => {
    const first = table.querySelector("td.score");
    if (first) first.tabIndex = 0;
    table.tBodies[0].addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      const cell = event.target.closest("td.score");
      if (!step || !cell) return;
      let [row, column] = [cell.parentElement.sectionRowIndex, cell.cellIndex];
      let next;
      do {
        row += step[0];
        column += step[1];
        next = table.tBodies[0].rows[row]?.cells[column];
      } while (next && (next.hidden || next.parentElement.hidden));
      if (!next?.classList.contains("score")) return;
      event.preventDefault();
      cell.tabIndex = -1;
      next.tabIndex = 0;
      next.focus({ preventScroll: true });
      next.scrollIntoView({ block: "nearest", inline: "center" });
      explain(next);
    });
  });

  // Filters: the dialects, and the baselines.
  document.querySelectorAll("section.dataset").forEach((section) => {
    const table = section.querySelector("table.sortable.scores");
    if (!table) return;
    const bar = document.createElement("p");
    bar.className = "controls filters";
    const filter = (label, select) => {
      const box = make("label", bar, {});
      const input = make("input", box, { type: "checkbox", checked: true });
      box.append(label);
      input.onchange = () => table.querySelectorAll(select).forEach((each) => { each.hidden = !input.checked; });
    };
    const groups = [...table.querySelectorAll("th.group")];
    if (groups.length > 1) groups.forEach((group, at) => filter(group.querySelector("b").textContent, `.g${at}`));
    if (table.querySelector("tr.baseline") && table.querySelector("tbody tr:not(.baseline)")) filter("baselines", "tr.baseline");
    if (bar.children.length) table.closest(".scroll").before(bar);
  });

  const digits = (values) => {
    const largest = Math.max(0, ...values.map(Math.abs));
    if (largest >= 1000) return 0;
    if (largest >= 100) return 1;
    if (largest >= 10) return 2;
    return largest >= 0.01 || largest === 0 ? 3 : Math.min(8, 2 - Math.floor(Math.log10(largest)));
  };
  const ticks = (low, high) => {
    const raw = (high - low) / 5;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= raw * 0.999);
    const list = [];
    for (let at = Math.ceil(low / step); at * step <= high; at += 1) list.push(at * step);
    return list;
  };

  // The same plot as benchmark_plots.pair_plot.
  const plot = (place, rows, two, pick) => {
    place.replaceChildren();
    const values = rows.flatMap((row) => (two ? [row.a, row.b] : [row.a]));
    if (!values.length) return;
    const [width, height, from] = [520, 150, 50];
    let [low, high] = [Math.min(...values), Math.max(...values)];
    const margin = 0.05 * (high - low) || 0.1 * Math.abs(high) || 1;
    [low, high] = [low - margin, high + margin];
    const y = (value) => height - 8 - ((height - 18) * (value - low)) / (high - low);
    const svg = drawn("svg", place, { class: "chart pair", viewBox: `0 0 ${width} ${height}`, role: "img" });
    drawn("title", svg, {}).textContent = "Values on every image";
    ticks(low, high).forEach((value) => {
      drawn("path", svg, { class: "grid", d: `M${from} ${y(value)}H${width - 8}` });
      drawn("text", svg, { x: from - 6, y: y(value) + 4, "text-anchor": "end" }).textContent = minus(String(Number(value.toPrecision(4))));
    });
    rows.forEach((row, at) => {
      const x = from + ((width - from - 8) * (at + 0.5)) / rows.length;
      const group = drawn("g", svg, pick ? { class: "pick" } : {});
      drawn("title", group, {}).textContent = row.scene;
      if (two) {
        drawn("path", group, { class: "join", d: `M${x} ${y(row.a)}V${y(row.b)}` });
        drawn("circle", group, { class: "c5", cx: x, cy: y(row.b), r: 2.6 });
      }
      drawn("circle", group, { class: "c0", cx: x, cy: y(row.a), r: 3 });
      if (row.pictured && pick) group.onclick = () => pick(row.position);
    });
  };

  // The slider: the left picture is cut at the border, so that both stay in place.
  const viewer = (box, board) => {
    const [scene, left, right] = ["scene", "left", "right"].map((name) => box.querySelector(`[name=${name}]`));
    const stage = box.querySelector(".stage");
    const [under, over] = [stage.querySelector(".under"), stage.querySelector(".over")];
    const range = box.querySelector("input[type=range]");
    const maps = box.querySelector(".maps");
    const options = (position) => {
      const pictures = board.pictures[position];
      const fused = Object.entries(pictures.fused).map(([at, each]) => [board.methods[at].name, each.url, `m${at}`]);
      return [...pictures.common.map(([name, url], at) => [name, url, `c${at}`]), ...fused];
    };
    const move = () => stage.style.setProperty("--at", `${range.value}%`);
    const show = () => {
      const listed = options(scene.value);
      const chosen = [left, right].map((select) => listed.find((each) => each[2] === select.value) || listed[0]);
      [[over, chosen[0], ".left"], [under, chosen[1], ".right"]].forEach(([image, [name, url], side]) => {
        image.src = url;
        image.alt = `${board.scenes[scene.value]}: ${name}`;
        stage.querySelector(`.tag${side}`).textContent = name;
      });
      // The same map of both methods side by side.
      const keys = [...new Set([left.value, right.value])].filter((key) => key.startsWith("m"));
      const found = keys.flatMap((key, side) => {
        const own = board.pictures[scene.value].fused[key.slice(1)]?.maps || [];
        return own.map(([name, url], at) => ({ name, url, place: 2 * at + side }));
      });
      maps.replaceChildren();
      found.sort((one, other) => one.place - other.place).forEach(({ name, url }) => {
        const figure = make("figure", maps, {});
        const image = make("img", figure, { src: url, alt: `${board.scenes[scene.value]}: ${name}`, tabIndex: 0 });
        image.setAttribute("role", "button"); // enhance.js enlarges it
        make("b", make("figcaption", figure, {}), { textContent: name });
      });
      box.querySelector(".legend").hidden = !maps.children.length;
    };
    const fill = (wanted) => {
      const listed = options(scene.value);
      [left, right].forEach((select, side) => {
        const keep = wanted?.[side] ?? select.value;
        select.replaceChildren(...listed.map(([name, , value]) => new Option(name, value)));
        select.value = listed.some((each) => each[2] === keep) ? keep : listed[Math.min(side, listed.length - 1)]?.[2];
      });
      show();
    };
    range.oninput = move;
    const drag = (event) => {
      const at = stage.getBoundingClientRect();
      range.value = (100 * (event.clientX - at.left)) / at.width;
      move();
    };
    stage.onpointerdown = (event) => {
      event.preventDefault();
      stage.setPointerCapture(event.pointerId);
      drag(event);
    };
    stage.onpointermove = (event) => { if (stage.hasPointerCapture(event.pointerId)) drag(event); };
    scene.onchange = () => fill();
    left.onchange = show;
    right.onchange = show;
    move();
    return {
      open: (position, first, second) => {
        scene.value = String(position);
        fill([`m${first}`, second < 0 ? "c0" : `m${second}`]);
      },
      methods: (first, second) => fill([`m${first}`, second < 0 ? "c0" : `m${second}`]),
      shown: () => scene.value,
    };
  };

  document.querySelectorAll("section.dataset").forEach((section) => {
    const drill = section.querySelector(".drill");
    if (!drill) return;
    const board = data[section.dataset.index];
    const [metric, first, second, order] = ["metric", "first", "second", "order"].map((name) => drill.querySelector(`.compare [name=${name}]`));
    const table = drill.querySelector("table.pairs");
    const box = drill.querySelector(".viewer");
    const view = box && viewer(box, board);
    drill.querySelector(".pairing").hidden = true;
    const mark = () => table.querySelectorAll("tbody tr").forEach((row) => {
      row.classList.toggle("shown", row.dataset.position === view?.shown());
    });
    const pick = (position) => {
      view.open(position, Number(first.value), Number(second.value));
      mark();
    };
    const fill = (start) => {
      const [column, a, b] = [Number(metric.value), Number(first.value), Number(second.value)];
      const better = board.columns[column].higher ? 1 : -1;
      const [of, against] = [board.methods[a], board.methods[b]];
      const rows = [];
      const failed = [];
      let undefinedOn = 0;
      board.scenes.forEach((scene, position) => {
        const [va, vb] = [of.values[column][position] ?? null, against ? against.values[column][position] ?? null : 0];
        const reasons = [of, against].filter((each) => each?.failed[position]).map((each) => `${each.name}: ${each.failed[position]}`);
        if (reasons.length) failed.push(`${scene} (${[...new Set(reasons)].join("; ")})`);
        else if (va === null || vb === null) undefinedOn += 1;
        else rows.push({ scene, position, a: va, b: vb, difference: va - vb, pictured: String(position) in board.pictures });
      });
      rows.sort((one, other) => (one.difference - other.difference) * better * (order.value === "best" ? -1 : 1));
      const places = digits(rows.flatMap((row) => [row.a, row.b]));
      const largest = Math.max(0, ...rows.map((row) => Math.abs(row.difference))) || 1;
      const heads = [...table.tHead.rows[0].cells];
      heads[1].textContent = of.name;
      heads[2].textContent = against ? against.name : "";
      heads[3].textContent = against ? "Difference" : "";
      table.tBodies[0].replaceChildren(...rows.map((row) => {
        const line = document.createElement("tr");
        line.dataset.position = row.position;
        const head = make("th", line, { scope: "row" });
        if (row.pictured) make("button", head, { type: "button", textContent: row.scene, title: "Show its pictures", onclick: () => pick(row.position) });
        else head.textContent = row.scene;
        make("td", line, { textContent: minus(row.a.toFixed(places)) });
        make("td", line, { textContent: against ? minus(row.b.toFixed(places)) : "" });
        const last = make("td", line, {});
        if (against) {
          const sign = Math.sign(row.difference) * better;
          const bar = make("span", last, { className: `bar ${["worse", "", "better"][sign + 1]}` });
          bar.style.setProperty("--length", Math.abs(row.difference) / largest);
          last.append(minus(`${row.difference > 0 ? "+" : ""}${row.difference.toFixed(places)}`));
        }
        return line;
      }));
      plot(drill.querySelector(".plot"), rows, Boolean(against), view && pick);
      const remarks = [];
      if (undefinedOn) remarks.push(`Undefined on ${undefinedOn} of ${board.scenes.length} images, which are left out.`);
      if (failed.length) remarks.push(`Failed: ${failed.join(", ")}.`);
      drill.querySelector(".remark").textContent = remarks.join(" ");
      if (view) {
        const pictured = rows.find((row) => row.pictured);
        if (start && pictured) view.open(pictured.position, a, b);
        else view.methods(a, b);
      }
      mark();
    };
    metric.onchange = () => fill(true);
    order.onchange = () => fill(true);
    first.onchange = () => fill(false);
    second.onchange = () => fill(false);
    if (box) box.querySelector("[name=scene]").addEventListener("change", mark);
    fill(true);
  });

  const sweep = document.querySelector("[name=sweep]");
  const choose = () => document.querySelectorAll(".sweeps figure").forEach((figure) => {
    figure.hidden = sweep.value !== "" && figure.dataset.metric !== sweep.value;
  });
  if (sweep) {
    sweep.onchange = choose;
    choose();
  }
  document.querySelectorAll(".lines [data-method]").forEach((entry) => {
    const fade = (on) => document.querySelectorAll(".sweeps g[data-method]").forEach((line) => {
      line.classList.toggle("faded", on && line.dataset.method !== entry.dataset.method);
    });
    entry.tabIndex = 0;
    entry.onpointerenter = entry.onfocus = () => fade(true);
    entry.onpointerleave = entry.onblur = () => fade(false);
  });
})();

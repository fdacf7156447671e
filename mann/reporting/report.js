(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const slider = document.getElementById("step");
  const titles = {
    writes: "write weights",
    reads: "read weights",
    keys: "key of the write, as a fraction of the largest number",
    queries: "query of the read, as a fraction of the largest number",
    usage: "usage of the slots, as a fraction of the largest",
  };
  const SIGNED = ["keys", "queries"]; // 0 is in the middle of their range
  const [CHART_WIDTH, CHART_HEIGHT] = [600, 54];

  const unpacked = (text) => (Array.isArray(text) ? text : Array.from(atob(text), (byte) => byte.charCodeAt(0) / 255));

  function element(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    node.append(...children);
    return node;
  }

  function svgElement(tag, attributes, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    node.append(...children);
    return node;
  }

  function imageCanvas(image) {
    const canvas = element("canvas", { width: content.size, height: content.size, role: "img", "aria-label": "the image" });
    const context = canvas.getContext("2d");
    const ink = getComputedStyle(document.body).color.match(/\d+/g).map(Number);
    const pixels = new ImageData(content.size, content.size);
    unpacked(image).forEach((darkness, place) => pixels.data.set([...ink.slice(0, 3), 255 * darkness], 4 * place));
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  function vector(title, values) {
    if (content.kind === "numbers") return [element("h3", {}, title), element("p", {}, values.join(", "))];
    const cell = Math.min(16, 200 / values.length);
    const cells = values.map((value, place) =>
      svgElement("rect", { x: place * cell, y: 0, width: cell, height: 16, class: "cell ink", "fill-opacity": value.toFixed(3) }),
    );
    const description = `${title}: ${values.map((value) => value.toFixed(1)).join(" ")}`;
    return [element("h3", {}, title), svgElement("svg", { viewBox: "0 0 208 17", role: "img", "aria-label": description }, ...cells)];
  }

  function chart(title, kind, packed) {
    const isSigned = SIGNED.includes(kind);
    const values = isSigned ? packed.map((value) => 2 * value - 1) : packed;
    const base = isSigned ? CHART_HEIGHT / 2 : CHART_HEIGHT;
    const barWidth = CHART_WIDTH / values.length;
    const order = values.map((_, slot) => slot).sort((one, other) => values[other] - values[one]);
    const largest = isSigned ? [] : order.filter((slot) => kind !== "usage" && values[slot] >= 0.1).slice(0, 6);
    const description = largest.length ? `: ${largest.map((slot) => `slot ${slot} (${values[slot].toFixed(2)})`).join(", ")}` : "";
    const bars = values.map((value, slot) =>
      svgElement("rect", { x: slot * barWidth + 0.1 * barWidth, y: base - base * Math.max(0, value), width: 0.8 * barWidth, height: base * Math.abs(value), class: kind },
        svgElement("title", {}, `slot ${slot}: ${value.toFixed(2)}`)),
    );
    const every = [1, 2, 4, 8, 16, 32, 64, 128].find((step) => values.length / step <= 16) ?? 256;
    const ticks = values.map((_, slot) => slot).filter((slot) => slot % every === 0).map((slot) =>
      svgElement("text", { x: (slot + 0.5) * barWidth, y: CHART_HEIGHT + 12, "text-anchor": "middle" }, String(slot)),
    );
    const line = svgElement("line", { x1: 0, x2: CHART_WIDTH, y1: base, y2: base, class: "line" });
    return [
      element("h3", {}, title + description),
      svgElement("svg", { viewBox: `-4 0 ${CHART_WIDTH + 8} ${CHART_HEIGHT + 16}`, role: "img", "aria-label": title + description }, line, ...bars, ...ticks),
    ];
  }

  function inputAndAnswer(step) {
    if (content.kind === "images") {
      const mark = element("span", { class: step.right ? "right" : "wrong" }, step.right ? "\u2713 right" : "\u2717 wrong");
      return [
        imageCanvas(step.input),
        element("p", {}, `label ${step.label}, presented for the ${step.presentation} time`),
        element("p", {}, `answer ${step.answer}: `, mark),
      ];
    }
    const outputs = step.has_target
      ? [...vector("target", unpacked(step.target)), ...vector("answer", unpacked(step.output))]
      : [element("p", {}, "no target at this step")];
    const wrong = step.has_target && step.wrong !== null
      ? [element("p", { class: step.wrong ? "wrong" : "right" }, step.wrong ? `\u2717 ${step.wrong} wrong` : "\u2713 all right")]
      : [];
    return [...vector("input", unpacked(step.input)), ...outputs, ...wrong];
  }

  function show() {
    const number = Number(slider.value);
    const step = content.steps[number - 1];
    document.getElementById("number").textContent = `step ${number} of ${content.steps.length}`;
    document.getElementById("input").replaceChildren(...inputAndAnswer(step));
    const charts = ["writes", "reads", ...SIGNED].flatMap((kind) =>
      (step[kind] ?? []).flatMap((weights, head, all) =>
        chart(titles[kind] + (all.length > 1 ? ` of head ${head}` : ""), kind, unpacked(weights))),
    );
    if (step.usage) charts.push(...chart(titles.usage, "usage", unpacked(step.usage)));
    document.getElementById("slots").replaceChildren(...charts);
  }

  const move = (way) => () => {
    slider.value = Number(slider.value) + way;
    show();
  };
  slider.addEventListener("input", show);
  document.getElementById("previous").addEventListener("click", move(-1));
  document.getElementById("next").addEventListener("click", move(1));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  document.getElementById("steps").hidden = false;
  show();
})();

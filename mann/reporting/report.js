(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const slider = document.getElementById("step");
  const titles = { writes: "write weights", reads: "read weights", usage: "usage of the slots, as a share of the largest" };
  const [WIDE, HIGH] = [600, 54]; // of a chart

  const unpacked = (text) => (Array.isArray(text) ? text : Array.from(atob(text), (byte) => byte.charCodeAt(0) / 255));

  function made(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    node.append(...children);
    return node;
  }

  function shape(tag, attributes, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    node.append(...children);
    return node;
  }

  function drawing(image) {
    const canvas = made("canvas", { width: content.size, height: content.size, role: "img", "aria-label": "the drawing" });
    const context = canvas.getContext("2d");
    const ink = getComputedStyle(document.body).color.match(/\d+/g).map(Number);
    const pixels = new ImageData(content.size, content.size);
    unpacked(image).forEach((share, place) => pixels.data.set([...ink.slice(0, 3), 255 * share], 4 * place));
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  function vector(title, values) {
    if (content.kind === "numbers") return [made("h3", {}, title), made("p", {}, values.join(", "))];
    const cell = Math.min(16, 200 / values.length);
    const cells = values.map((value, place) =>
      shape("rect", { x: place * cell, y: 0, width: cell, height: 16, class: "cell ink", "fill-opacity": value.toFixed(3) }),
    );
    const said = `${title}: ${values.map((value) => value.toFixed(1)).join(" ")}`;
    return [made("h3", {}, title), shape("svg", { viewBox: "0 0 208 17", role: "img", "aria-label": said }, ...cells)];
  }

  function chart(title, kind, values) {
    const wide = WIDE / values.length;
    const order = values.map((_, slot) => slot).sort((one, other) => values[other] - values[one]);
    const largest = order.filter((slot) => kind !== "usage" && values[slot] >= 0.1).slice(0, 6);
    const said = largest.length ? `: ${largest.map((slot) => `slot ${slot} (${values[slot].toFixed(2)})`).join(", ")}` : "";
    const bars = values.map((value, slot) =>
      shape("rect", { x: slot * wide + 0.1 * wide, y: HIGH * (1 - value), width: 0.8 * wide, height: HIGH * value, class: kind },
        shape("title", {}, `slot ${slot}: ${value.toFixed(2)}`)),
    );
    const every = [1, 2, 4, 8, 16, 32, 64, 128].find((step) => values.length / step <= 16) ?? 256;
    const ticks = values.map((_, slot) => slot).filter((slot) => slot % every === 0).map((slot) =>
      shape("text", { x: (slot + 0.5) * wide, y: HIGH + 12, "text-anchor": "middle" }, String(slot)),
    );
    const line = shape("line", { x1: 0, x2: WIDE, y1: HIGH, y2: HIGH, class: "line" });
    return [
      made("h3", {}, title + said),
      shape("svg", { viewBox: `-4 0 ${WIDE + 8} ${HIGH + 16}`, role: "img", "aria-label": title + said }, line, ...bars, ...ticks),
    ];
  }

  function came(step) {
    if (content.kind === "drawings") {
      const mark = made("span", { class: step.right ? "right" : "wrong" }, step.right ? "\u2713 right" : "\u2717 wrong");
      return [
        drawing(step.input),
        made("p", {}, `label ${step.label}, shown for the ${step.presentation} time`),
        made("p", {}, `answer ${step.answer}: `, mark),
      ];
    }
    const asked = step.asked
      ? [...vector("asked for", unpacked(step.target)), ...vector("answered", unpacked(step.output))]
      : [made("p", {}, "nothing is asked at this step")];
    const wrong = step.asked && step.wrong !== null
      ? [made("p", { class: step.wrong ? "wrong" : "right" }, step.wrong ? `\u2717 ${step.wrong} wrong` : "\u2713 all right")]
      : [];
    return [...vector("input", unpacked(step.input)), ...asked, ...wrong];
  }

  function show() {
    const number = Number(slider.value);
    const step = content.steps[number - 1];
    document.getElementById("number").textContent = `step ${number} of ${content.steps.length}`;
    document.getElementById("came").replaceChildren(...came(step));
    const charts = ["writes", "reads"].flatMap((kind) =>
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
  document.getElementById("before").addEventListener("click", move(-1));
  document.getElementById("after").addEventListener("click", move(1));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  document.getElementById("steps").hidden = false;
  show();
})();

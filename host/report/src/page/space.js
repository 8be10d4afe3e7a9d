"use strict";
// Neurons in space, turned by mouse, touch and keys.
(() => {
  const source = document.getElementById("space-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const view = document.getElementById("space-view");
  const choice = document.getElementById("space-network");
  const spin = document.getElementById("space-spin");
  const about = document.getElementById("space-about");
  const make = (name, attributes, parent) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.append(element);
    return element;
  };
  let place = data.places[data.networks[0].place];
  let [across, up, zoom] = [...place.view, 1];
  let [lines, dots, order, network] = [[], [], [], null];
  const lineGroup = make("g", {}, view);
  const dotGroup = make("g", {}, view);
  const bar = make("line", { stroke: "currentColor", "stroke-width": 3, x1: 40, y1: 960, y2: 960 }, view);
  const barText = make("text", { x: 40, y: 945, "font-size": 24, fill: "currentColor" }, view);
  let radius = 4;

  const show = () => {
    network = data.networks[choice.selectedIndex];
    // Other neurons start from their own best view.
    if (place !== data.places[network.place]) {
      place = data.places[network.place];
      [across, up, zoom] = [...place.view, 1];
    }
    const number = place.points.length;
    radius = Math.min(11, Math.max(4, 11 * Math.sqrt(150 / number)));
    lineGroup.replaceChildren();
    dotGroup.replaceChildren();
    const most = network.connections.length ? Math.abs(network.connections[0][2]) : 1;
    lines = network.connections.map(([i, j, w]) => {
      const strength = Math.abs(w) / most;
      const line = make("line", {
        stroke: w < 0 ? data.negative : data.positive,
        "stroke-width": (1 + 2.5 * strength).toFixed(2),
        opacity: (0.25 + 0.6 * strength).toFixed(2),
      }, lineGroup);
      make("title", {}, line).textContent = `${i} → ${j}: ${w}`;
      return [i, j, line];
    });
    dots = place.points.map((_, i) => {
      const group = network.community[i];
      const grouped = network.sizes[group] > 1 && group < data.palette.length;
      const dot = make("circle", { fill: grouped ? data.palette[group] : data.grey }, dotGroup);
      make("title", {}, dot).textContent = `neuron ${i}, community ${group + 1} of ${network.sizes[group]} neurons`;
      return dot;
    });
    order = dots.map((_, i) => i);
    const communities = network.sizes.filter((size) => size > 1).length;
    about.textContent = `${network.variant}, ${network.task}, run ${network.run}: ${number} neurons, ` +
      `${communities} communities, ${network.connections.length} connections shown.`;
    draw();
  };

  const draw = () => {
    const [sa, ca, sb, cb] = [Math.sin(across), Math.cos(across), Math.sin(up), Math.cos(up)];
    const scale = 400 * zoom;
    const seen = place.points.map(([x, y, z]) => {
      const [x1, z1] = [ca * x + sa * z, ca * z - sa * x];
      return [500 + scale * x1, 500 + scale * (cb * y - sb * z1), sb * y + cb * z1];
    });
    for (const [i, j, line] of lines) {
      line.setAttribute("x1", seen[i][0].toFixed(1));
      line.setAttribute("y1", seen[i][1].toFixed(1));
      line.setAttribute("x2", seen[j][0].toFixed(1));
      line.setAttribute("y2", seen[j][1].toFixed(1));
    }
    for (let i = 0; i < dots.length; i += 1) {
      const near = seen[i][2];
      dots[i].setAttribute("cx", seen[i][0].toFixed(1));
      dots[i].setAttribute("cy", seen[i][1].toFixed(1));
      dots[i].setAttribute("r", (radius * (1 + 0.25 * near)).toFixed(1));
      dots[i].setAttribute("opacity", (0.75 + 0.2 * near).toFixed(2));
    }
    order.sort((a, b) => seen[a][2] - seen[b][2]);
    dotGroup.append(...order.map((i) => dots[i]));
    const length = 10 ** Math.floor(Math.log10(0.7 * place.half_um / zoom)) || 1;
    bar.setAttribute("x2", (40 + (scale * length) / place.half_um).toFixed(1));
    barText.textContent = `${length} µm`;
  };

  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  };
  const turn = (dx, dy) => {
    across += dx;
    up = Math.max(-1.57, Math.min(1.57, up + dy));
    soon();
  };
  const grow = (factor) => {
    zoom = Math.max(0.3, Math.min(12, zoom * factor));
    soon();
  };
  const reset = () => {
    [across, up, zoom] = [...place.view, 1];
    soon();
  };

  const fingers = new Map();
  const apart = () => {
    const [a, b] = [...fingers.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  };
  view.addEventListener("pointerdown", (event) => {
    view.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  view.addEventListener("pointermove", (event) => {
    const finger = fingers.get(event.pointerId);
    if (!finger) return;
    const before = fingers.size === 2 ? apart() : 0;
    const [dx, dy] = [event.clientX - finger.x, event.clientY - finger.y];
    [finger.x, finger.y] = [event.clientX, event.clientY];
    if (fingers.size === 2) {
      if (before > 0) grow(apart() / before);
    } else {
      turn(-0.008 * dx, 0.008 * dy);
    }
  });
  for (const end of ["pointerup", "pointercancel"]) {
    view.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }
  view.addEventListener("wheel", (event) => {
    event.preventDefault();
    grow(Math.exp(-0.0015 * event.deltaY));
  }, { passive: false });
  view.addEventListener("keydown", (event) => {
    const step = 0.1;
    const keys = {
      ArrowLeft: () => turn(step, 0), ArrowRight: () => turn(-step, 0),
      ArrowUp: () => turn(0, -step), ArrowDown: () => turn(0, step),
      "+": () => grow(1.2), "=": () => grow(1.2), "-": () => grow(1 / 1.2), 0: reset,
    };
    if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  const whirl = () => {
    if (!spin.checked) return;
    across += 0.008;
    draw();
    requestAnimationFrame(whirl);
  };
  spin.addEventListener("change", whirl);
  document.getElementById("space-reset").addEventListener("click", reset);
  for (const one of data.networks) {
    const option = document.createElement("option");
    option.textContent = `${one.variant}, ${one.task}`;
    choice.append(option);
  }
  choice.addEventListener("change", show);
  show();
})();

"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  all(".needs-script, .find").forEach((element) => { element.hidden = false; });

  // Search: rows that do not hold the text are hidden.
  all("[data-find]").forEach((input) => {
    const rows = all("tbody tr, [data-row]", document.getElementById(input.dataset.find));
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const status = input.parentElement.querySelector("[role=status]");
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      let shown = 0;
      rows.forEach((row, index) => {
        row.hidden = !texts[index].includes(wanted);
        shown += row.hidden ? 0 : 1;
      });
      status.textContent = wanted ? `${shown} of ${rows.length}` : "";
    });
  });

  // Printed pages have nothing to click on.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all("details:not([open]):not(.data)");
    opened.forEach((element) => { element.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((element) => { element.open = false; }));

  all("[data-graph]").forEach((graph) => {
    const svg = graph.querySelector("svg.net");
    const nodes = all(".n", svg);
    const texts = nodes.map((node) => node.querySelector("title").textContent);
    const panel = graph.querySelector(".selected");
    const whole = svg.viewBox.baseVal;
    const full = { x: whole.x, y: whole.y, w: whole.width, h: whole.height };
    let view = { ...full };
    let chosen = -1;
    svg.classList.add("live");

    const scale = () => {
      const box = svg.getBoundingClientRect();
      return Math.min(box.width / view.w, box.height / view.h) || 1;
    };
    const show = () => svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.w} ${view.h}`);
    const toGraph = (x, y) => {
      const box = svg.getBoundingClientRect();
      const s = scale();
      return [
        view.x + view.w / 2 + (x - box.left - box.width / 2) / s,
        view.y + view.h / 2 + (y - box.top - box.height / 2) / s,
      ];
    };
    const zoom = (factor, x, y) => {
      const width = Math.min(Math.max(view.w * factor, 120), full.w * 3);
      const k = width / view.w;
      view = { x: x - (x - view.x) * k, y: y - (y - view.y) * k, w: width, h: view.h * k };
      show();
    };
    const centre = (factor) => zoom(factor, view.x + view.w / 2, view.y + view.h / 2);
    const move = (dx, dy) => { view.x += dx; view.y += dy; show(); };
    const fit = () => { view = { ...full }; show(); };
    const choose = (index, near) => {
      if (chosen >= 0) nodes[chosen].classList.remove("chosen");
      chosen = index;
      panel.hidden = index < 0;
      if (index < 0) return;
      nodes[index].classList.add("chosen");
      panel.textContent = texts[index];
      if (!near) return;
      const place = nodes[index].transform.baseVal.consolidate().matrix;
      const box = svg.getBoundingClientRect();
      const width = Math.min(view.w, Math.max(760, box.width));
      const height = width * box.height / box.width;
      view = { x: place.e + 46 - width / 2, y: place.f + 14 - height / 2, w: width, h: height };
      show();
    };

    all("[data-zoom]", graph).forEach((button) => button.addEventListener("click", () => {
      ({ in: () => centre(0.7), out: () => centre(1 / 0.7), fit })[button.dataset.zoom]();
    }));
    all("input[type=radio]", graph).forEach((input) => input.addEventListener("change", () => {
      graph.classList.remove("by-kind", "by-quality");
      graph.classList.add(input.value);
    }));

    const seek = graph.querySelector("[data-seek]");
    const status = seek.parentElement.querySelector("[role=status]");
    let hits = [];
    let turn = -1;
    seek.addEventListener("input", () => {
      const wanted = seek.value.trim().toLowerCase();
      hits = [];
      turn = -1;
      nodes.forEach((node, index) => {
        const found = wanted !== "" && texts[index].toLowerCase().includes(wanted);
        node.classList.toggle("hit", found);
        if (found) hits.push(index);
      });
      status.textContent = wanted ? `${hits.length} found${hits.length ? "; Enter goes there" : ""}` : "";
    });
    seek.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !hits.length) return;
      turn = (turn + (event.shiftKey ? hits.length - 1 : 1)) % hits.length;
      choose(hits[Math.max(turn, 0)], true);
    });

    const keys = {
      ArrowLeft: () => move(-view.w / 10, 0), ArrowRight: () => move(view.w / 10, 0),
      ArrowUp: () => move(0, -view.h / 10), ArrowDown: () => move(0, view.h / 10),
      "+": () => centre(0.7), "=": () => centre(0.7), "-": () => centre(1 / 0.7), 0: fit,
      n: () => choose((chosen + 1) % nodes.length, true),
      p: () => choose((Math.max(chosen, 0) + nodes.length - 1) % nodes.length, true),
      Escape: () => choose(-1),
    };
    svg.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
      event.preventDefault();
      keys[event.key]();
    });

    svg.addEventListener("wheel", (event) => {
      // Without a modifier the wheel scrolls the page.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoom(Math.exp(Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 60) / 240), ...toGraph(event.clientX, event.clientY));
    }, { passive: false });

    const fingers = new Map();
    let dragged = 0;
    const spread = () => {
      const [a, b] = [...fingers.values()];
      return { d: Math.hypot(a.x - b.x, a.y - b.y) || 1, x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    };
    svg.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (fingers.size === 1) dragged = 0;
    });
    svg.addEventListener("pointermove", (event) => {
      const finger = fingers.get(event.pointerId);
      if (!finger) return;
      const before = fingers.size === 2 ? spread() : null;
      const [dx, dy] = [event.clientX - finger.x, event.clientY - finger.y];
      dragged += Math.abs(dx) + Math.abs(dy);
      if (dragged > 6 && !svg.hasPointerCapture(event.pointerId)) svg.setPointerCapture(event.pointerId);
      Object.assign(finger, { x: event.clientX, y: event.clientY });
      if (fingers.size === 1) move(-dx / scale(), -dy / scale());
      if (!before || fingers.size !== 2) return;
      const after = spread();
      move((before.x - after.x) / scale(), (before.y - after.y) / scale());
      zoom(before.d / after.d, ...toGraph(after.x, after.y));
    });
    const up = (event) => fingers.delete(event.pointerId);
    svg.addEventListener("pointerup", up);
    svg.addEventListener("pointercancel", up);
    svg.addEventListener("lostpointercapture", up);
    svg.addEventListener("pointerleave", (event) => {
      if (!svg.hasPointerCapture(event.pointerId)) up(event);
    });
    svg.addEventListener("click", (event) => {
      if (dragged > 6) return;
      choose(nodes.indexOf(event.target.closest(".n")));
    });
  });
})();

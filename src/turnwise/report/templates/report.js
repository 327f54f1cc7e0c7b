"use strict";
// Filter and sort of the dialogue list. Without script the list is whole and in order.
(() => {
  const form = document.getElementById("filter");
  if (!form) return;
  const byId = (id) => document.getElementById(id);
  const list = byId("dialogue-list");
  const items = [...list.children].map((element) => ({ element, text: element.textContent.toLowerCase() }));
  const number = (element, name) => (element.dataset[name] === "" ? -Infinity : Number(element.dataset[name]));
  const update = () => {
    const words = byId("filter-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const label = byId("filter-label").value;
    const key = byId("filter-sort").value;
    let shown = 0;
    for (const { element, text } of items) {
      const fits = words.every((word) => text.includes(word)) && (!label || element.dataset.noise === label);
      element.hidden = !fits;
      shown += fits;
    }
    items.sort((a, b) => {
      const byRank = number(a.element, "rank") - number(b.element, "rank");
      return key === "rank" ? byRank : number(b.element, key) - number(a.element, key) || byRank;
    });
    list.append(...items.map(({ element }) => element));
    byId("filter-count").textContent = `${shown} of ${items.length}`;
  };
  byId("filter-open").addEventListener("click", (event) => {
    const open = event.target.textContent === "Open all";
    for (const { element } of items) element.open = open && !element.hidden;
    event.target.textContent = open ? "Close all" : "Open all";
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", update);
  form.hidden = false;
  update();
})();

"use strict";
// What the searchable lists share: elements made of text nodes only, long texts clipped, and pages of rows.
const PAGE = 20; // rows on one page of a list
const CLIP = 20000; // characters of a text that are shown at once
const byId = (id) => document.getElementById(id);
const make = (tag, name, ...children) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children.filter((child) => child !== null && child !== undefined).map((child) =>
    typeof child === "object" ? child : String(child)));
  return element;
};
const bdi = (text, name = "") => make("bdi", name, text);
const content = (text) => {
  const box = make("div", "content", text.slice(0, CLIP));
  box.dir = "auto";
  if (text.length <= CLIP) return box;
  const more = make("button", "more", `Show all ${text.length.toLocaleString("en")} characters`);
  more.type = "button";
  more.addEventListener("click", (event) => { event.stopPropagation(); box.textContent = text; more.remove(); });
  return make("div", "", box, more);
};
const wordsSought = () => byId("find-text").value.toLowerCase().split(/\s+/).filter(Boolean);

// Show the items that `chosen` gives, a page of rows at a time, and anew whenever the form changes.
const listInPages = (form, total, noun, chosen, row) => {
  const list = byId("find-list");
  let page = 0;
  let shown = [];
  const show = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    list.replaceChildren(...shown.slice(page * PAGE, (page + 1) * PAGE).map(row));
    byId("find-count").textContent = `${shown.length} of ${total} ${noun}, page ${page + 1} of ${pages}`;
    byId("find-previous").disabled = page === 0;
    byId("find-next").disabled = page === pages - 1;
  };
  const update = () => { shown = chosen(); page = 0; show(); };
  byId("find-previous").addEventListener("click", () => { page -= 1; show(); });
  byId("find-next").addEventListener("click", () => { page += 1; show(); });
  byId("find-open").addEventListener("click", () => {
    const rows = [...list.children];
    const open = rows.some((details) => !details.open);
    for (const details of rows) details.open = open;
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", update);
  byId("find-script").hidden = true;
  form.hidden = false;
  update();
};

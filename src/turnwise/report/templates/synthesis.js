// Documents beside their dialogues: found, filtered and shown from the JSON in the page. Data becomes text nodes only.
(() => {
  const source = document.getElementById("synthesis-data");
  const form = document.getElementById("find");
  if (!source || !form) return;
  const data = JSON.parse(source.textContent);

  const evidenceOf = (turn) => {
    if (turn.span) return turn.span[2] >= 1 ? "word for word" : "aligned";
    if (turn.find) return "not found";
    return turn.logic || turn.notes.length || turn.search.length ? "common knowledge" : "none";
  };
  const textOf = (item) => {
    if (item.text === undefined) {
      const said = [...item.turns, ...item.lost].flatMap((turn) =>
        [turn.user, turn.assistant, turn.logic, turn.find, ...turn.notes, ...turn.search]);
      const told = [item.id, item.document, item.title, item.set, item.outcome, item.detail, ...item.about];
      item.text = [...told, ...item.pieces.map((piece) => piece[0]), ...said, ...item.raw].join("\n").toLowerCase();
    }
    return item.text;
  };

  const message = (role, text, name) =>
    make("div", `message ${name}`, make("p", "role", role), content(text));
  const thought = (turn) => {
    const found = evidenceOf(turn);
    if (found === "none") return null;
    const line = make("p", "thought");
    if (turn.logic) line.append(bdi(turn.logic, "tag"));
    const where = turn.span ? ` ${turn.span[0]}–${turn.span[1]}` : "";
    const score = turn.span && turn.span[2] < 1 ? ` ${turn.span[2].toFixed(2)}` : "";
    line.append(make("span", `tag ${found === "word for word" ? "good" : found === "not found" ? "bad" : ""}`,
      `${found}${score}${where}`));
    for (const one of turn.notes) line.append(" ", bdi(one));
    if (turn.search.length) line.append(" · searched: ", bdi(turn.search.join("; ")));
    if (turn.find && !turn.span) line.append(" · claimed: ", bdi(turn.find));
    return line;
  };

  // A document whose evidence is marked, and the turns; pointing at one side lights up the other.
  const beside = (item) => {
    const marks = [];
    const text = make("div", "content");
    text.dir = "auto";
    for (const [piece, turns] of item.pieces) {
      if (!turns.length) { text.append(piece); continue; }
      const mark = make("mark", "", piece);
      mark.tabIndex = 0;
      marks.push([mark, turns]);
      text.append(mark);
    }
    const head = make("p", "role", bdi(item.title || item.document), item.title ? make("span", "", bdi(item.document)) : null);
    const shown = make("div", "source", head, text);
    shown.tabIndex = 0;
    const boxes = item.turns.map((turn, number) => {
      const box = make("div", "turn", message(`user, turn ${number}`, turn.user, "other"),
        message("assistant", turn.assistant, "reply"), thought(turn));
      box.tabIndex = 0;
      return box;
    });
    let pinned = null;
    const light = (number) => {
      for (const [mark, turns] of marks) mark.classList.toggle("on", turns.includes(number));
      boxes.forEach((box, place) => box.classList.toggle("on", place === number));
    };
    boxes.forEach((box, number) => {
      const choose = () => {
        pinned = pinned === number ? null : number;
        light(number);
        const first = marks.find(([, turns]) => turns.includes(number));
        if (first) shown.scrollTop = first[0].offsetTop - shown.offsetTop - shown.clientHeight / 3;
      };
      box.addEventListener("mouseenter", () => light(number));
      box.addEventListener("focus", () => light(number));
      box.addEventListener("mouseleave", () => light(pinned));
      box.addEventListener("click", choose);
      box.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(); });
    });
    for (const [mark, turns] of marks) {
      const choose = () => {
        const place = turns.indexOf(pinned); // evidence of several turns leads to each of them in turn
        pinned = turns[(place + 1) % turns.length];
        light(pinned);
        boxes[pinned].scrollIntoView({ block: "nearest" });
      };
      mark.addEventListener("click", choose);
      mark.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(); });
    }
    const told = make("div", "told", ...boxes);
    if (item.lost.length) {
      told.append(make("p", "role", make("span", "tag bad", "cut off")), ...item.lost.map((turn) =>
        make("div", "turn lost", message("user", turn.user, "other"), message("assistant", turn.assistant, "reply"), thought(turn))));
    }
    for (const raw of item.raw) told.append(message("the teacher's text", raw, "raw"));
    return make("div", "beside", shown, told);
  };

  const body = (item) => {
    const inside = make("div", "inside");
    if (item.detail) inside.append(make("p", "missing", bdi(item.detail)));
    if (item.checks.length) {
      const line = make("p", "thought", "Checks: ");
      item.checks.forEach(([name, value], place) => line.append(place ? ", " : "", bdi(`${name} ${value}`)));
      inside.append(line);
    }
    inside.append(beside(item));
    return inside;
  };
  const row = (item) => {
    const who = make("span", "who", bdi(item.id, "id"), item.set ? bdi(item.set, "tag") : null,
      ...item.about.map((text) => bdi(text, "tag")),
      item.outcome === "dialogue" ? null : bdi(item.outcome, "tag bad outcome"));
    const found = item.turns.filter((turn) => turn.span).length;
    const claimed = item.turns.filter((turn) => turn.find || turn.span).length;
    const figures = make("span", "figures-of", make("span", "", make("b", "", item.turns.length), " turns"),
      make("span", "", make("b", found < claimed ? "bad" : "", `${found} of ${claimed}`), " grounded"));
    const details = make("details", "dialogue", make("summary", "", make("span", "rank", item.rank + 1), who, figures));
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) details.append(body(item));
    });
    return details;
  };

  data.items.forEach((item, place) => { item.rank = place; });
  const options = (id, names) => [...new Set(names)].filter(Boolean).sort().forEach((name) => {
    const option = make("option", "", name);
    option.value = name;
    byId(id).append(option);
  });
  const turns = data.items.flatMap((item) => item.turns);
  options("find-set", data.items.map((item) => item.set));
  options("find-outcome", data.items.map((item) => item.outcome));
  options("find-logic", turns.map((turn) => turn.logic));
  options("find-evidence", turns.map(evidenceOf));

  const chosen = () => {
    const words = wordsSought();
    const [set, outcome, logic, evidence] = ["set", "outcome", "logic", "evidence"].map((name) => byId(`find-${name}`).value);
    const fits = (turn) => (!logic || turn.logic === logic) && (!evidence || evidenceOf(turn) === evidence);
    return data.items.filter((item) => (!set || item.set === set) && (!outcome || item.outcome === outcome)
      && ((!logic && !evidence) || item.turns.some(fits)) && words.every((word) => textOf(item).includes(word)));
  };
  listInPages(form, data.items.length, "documents", chosen, row);
})();

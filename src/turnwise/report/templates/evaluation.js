// The list of answers and verdicts: found, filtered and shown from the JSON in the page. Data becomes text nodes only.
(() => {
  const source = document.getElementById("evaluation-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const form = byId("find");
  const values = { model: 1, tie: 0.5, baseline: 0 };
  const winners = { model: "win", tie: "tie", baseline: "loss" };
  const pairwise = data.mode === "pairwise";

  const valueOf = (one) => (one.winner ? values[one.winner] : one.score);
  const meanOf = (item) => {
    const found = item.judgments.map(valueOf).filter((value) => value !== undefined);
    return found.length ? found.reduce((sum, value) => sum + value, 0) / found.length : null;
  };
  const textOf = (item) => {
    if (item.text === undefined) {
      const said = item.turns.flatMap((turn) => [...turn.before.map((one) => one[1]), turn.reply, turn.other]);
      const judged = item.judgments.flatMap((one) => [one.judge, one.prompt, one.unscored, one.text]);
      item.text = [item.id, item.category, ...said, ...judged].filter(Boolean).join("\n").toLowerCase();
    }
    return item.text;
  };

  const verdict = (one) => {
    const result = one.unscored ? make("span", "tag bad", `unscored: ${one.unscored}`)
      : make("strong", "", one.winner ? winners[one.winner] : String(one.score));
    const about = [one.criterion, one.position && `answer shown ${one.position}`, one.sample ? `repeat ${one.sample}` : "",
      one.judge, one.prompt].filter(Boolean);
    const head = make("p", "role", result, ...about.map((text) => make("span", "", bdi(text))));
    return make("div", "verdict", head, one.text ? content(one.text) : null);
  };
  const message = (role, text, failure, name) => make("div", `message ${name}`,
    make("p", "role", bdi(role), failure ? make("span", "tag bad", failure) : null), content(text));

  const body = (item) => {
    const inside = make("div", "inside");
    item.turns.forEach((turn, place) => {
      const judged = item.judgments.filter((one) => one.turn === place).map(verdict);
      const before = turn.before.map(([role, text]) => message(role, text, "", "other"));
      const replies = [];
      if (turn.reply !== null) {
        replies.push(message(pairwise ? item.model : `assistant, turn ${place}`, turn.reply, turn.failure, "reply"));
      }
      if (pairwise && turn.other !== null) replies.push(message(item.baseline, turn.other, turn.otherFailure, "reply"));
      inside.append(pairwise
        ? make("div", "exchange", make("div", "across", ...before), ...replies, ...judged)
        : make("div", "exchange", make("div", "", ...before, ...replies), make("div", "", ...judged)));
    });
    const whole = item.judgments.filter((one) => one.turn === null || one.turn >= item.turns.length).map(verdict);
    if (whole.length) inside.append(make("p", "role", "The whole dialogue"), ...whole);
    return inside;
  };
  const row = (item) => {
    const figures = make("span", "figures-of");
    for (const one of item.judgments.slice(0, 12)) {
      const turn = one.turn === null ? one.criterion : `turn ${one.turn}`;
      const result = one.unscored ? "unscored" : one.winner ? winners[one.winner] : one.score;
      figures.append(make("span", "", bdi(turn), " ", make("b", one.unscored ? "bad" : "", result)));
    }
    if (item.judgments.length > 12) figures.append(make("span", "", `and ${item.judgments.length - 12} more`));
    const who = make("span", "who", bdi(item.id, "id"), item.category ? bdi(item.category, "tag") : null);
    const details = make("details", "dialogue", make("summary", "", make("span", "rank", item.rank + 1), who, figures));
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) details.append(body(item));
    });
    return details;
  };

  data.items.forEach((item, place) => { item.rank = place; item.mean = meanOf(item); });
  const options = (id, names) => names.forEach((name) => {
    const option = make("option", "", name);
    option.value = name;
    byId(id).append(option);
  });
  const unique = (names) => [...new Set(names)];
  const all = data.items.flatMap((item) => item.judgments);
  options("find-category", unique(data.items.map((item) => item.category).filter(Boolean)).sort());
  options("find-turn", unique(all.map((one) => one.turn).filter((turn) => turn !== null)).sort((a, b) => a - b).map(String));
  options("find-verdict", [...(pairwise ? ["win", "tie", "loss"] : ["scored"]), "unscored"]);
  options("find-verdict", unique(all.map((one) => one.unscored).filter(Boolean)).sort().map((reason) => `unscored: ${reason}`));
  for (const range of document.querySelectorAll(".find-range")) range.hidden = pairwise;

  const chosen = () => {
    const words = wordsSought();
    const [category, turn, wanted] = ["category", "turn", "verdict"].map((name) => byId(`find-${name}`).value);
    const [low, high] = ["low", "high"].map((name) => byId(`find-${name}`).value);
    const asked = turn || wanted || low !== "" || high !== "";
    const fits = (one) => (!turn || String(one.turn) === turn)
      && (!wanted || wanted === winners[one.winner] || (wanted === "scored" && !one.unscored)
        || (wanted === "unscored" && Boolean(one.unscored)) || wanted === `unscored: ${one.unscored}`)
      && (low === "" || one.score >= Number(low)) && (high === "" || one.score <= Number(high));
    const found = data.items.filter((item) => (!category || item.category === category)
      && (!asked || item.judgments.some(fits)) && words.every((word) => textOf(item).includes(word)));
    const sign = { low: 1, high: -1 }[byId("find-sort").value];
    if (sign) found.sort((a, b) => (a.mean === null) - (b.mean === null) || sign * (a.mean - b.mean) || a.rank - b.rank);
    return found;
  };
  listInPages(form, data.items.length, "dialogues", chosen, row);
})();

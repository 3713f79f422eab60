// Three small things that need a script; without it every page is there and every card is shown.

// Cards: show those for the chosen purpose that have all of the chosen tags, and offer no choice
// that would leave none.
for (const finder of document.querySelectorAll(".page-finder")) {
  const cards = [...finder.parentElement.querySelectorAll(".page-card")];
  const has = (card, kind, value) => card.dataset[kind].split("|").includes(value);
  const fits = (goal, tags) => (card) =>
    (!goal || has(card, "goals", goal)) && tags.every((tag) => has(card, "tags", tag));
  const choose = () => {
    const chosen = new FormData(finder);
    const goal = chosen.get("goal");
    const tags = chosen.getAll("tag");
    for (const card of cards) card.hidden = !fits(goal, tags)(card);
    for (const input of finder.querySelectorAll("[name=goal]"))
      input.disabled = !cards.some(fits(input.value, tags));
    for (const input of finder.querySelectorAll("[name=tag]"))
      input.disabled = !cards.some(fits(goal, [...tags, input.value]));
    const shown = cards.filter((card) => !card.hidden).length;
    finder.querySelector("[role=status]").textContent = `${shown} of ${cards.length} pages`;
    finder.querySelector("button").hidden = shown === cards.length;
  };
  finder.addEventListener("change", choose);
  finder.addEventListener("reset", () => setTimeout(choose));
  finder.addEventListener("submit", (event) => event.preventDefault());
  finder.hidden = false;
  choose(); // a browser keeps what was chosen when one comes back
}

// Formulas: one that is wider than the page scrolls in its box, so the keyboard must reach it.
const reach = () => {
  for (const box of document.querySelectorAll("div.math > mjx-container")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
addEventListener("load", () => window.MathJax?.startup?.promise.then(reach));
addEventListener("resize", reach);

// Paper is white: print in the light theme, whatever the screen shows.
const root = document.documentElement;
let theme;
addEventListener("beforeprint", () => { theme = root.dataset.theme; root.dataset.theme = "light"; });
addEventListener("afterprint", () => { root.dataset.theme = theme; });

// Copy buttons: keep the focus, so that a reader at the keyboard stays at the code.
document.addEventListener("click", (event) => {
  const button = event.target.closest("button.copybtn");
  if (button) setTimeout(() => button.focus());
});

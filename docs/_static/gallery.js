// Two small things that need a script; without it every page is there and every card is shown.

// Cards: show those for the chosen purpose that have all of the chosen tags.
for (const finder of document.querySelectorAll(".page-finder")) {
  const cards = [...finder.parentElement.querySelectorAll(".page-card")];
  const choose = () => {
    const chosen = new FormData(finder);
    const goal = chosen.get("goal");
    const tags = chosen.getAll("tag");
    for (const card of cards) {
      const has = (kind, value) => card.dataset[kind].split("|").includes(value);
      card.hidden = (goal && !has("goals", goal)) || tags.some((tag) => !has("tags", tag));
    }
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

// Paper is white: print in the light theme, whatever the screen shows.
const root = document.documentElement;
let theme;
addEventListener("beforeprint", () => { theme = root.dataset.theme; root.dataset.theme = "light"; });
addEventListener("afterprint", () => { root.dataset.theme = theme; });

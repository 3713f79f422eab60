/* The county explorer: the map, the list of counties and the numbers tell of the same county. */

document.addEventListener("DOMContentLoaded", async () => {
  const root = document.getElementById("county-explorer");
  const { map, strip, counties } = JSON.parse(root.querySelector("script").textContent);
  const part = (name, within = root) => within.querySelector(`[data-part="${name}"]`);

  // ast: expressions are interpreted, so that no content policy needs to allow eval.
  const options = { ast: true, renderer: "svg", actions: false, defaultStyle: false, tooltip: false };
  const draw = async (place, spec) => (await vegaEmbed(root.querySelector(place), spec, options)).view;
  const views = await Promise.all([draw(".explorer-map", map), draw(".explorer-strip", strip)]);

  const select = root.querySelector("select");
  let picked = root.dataset.county;

  const show = (county) => {
    if (county === root.dataset.county) return;
    root.dataset.county = county;
    part("county").textContent = county;
    for (const name of ["homes", "meaning"]) part(name).textContent = counties[county][name];
    for (const row of root.querySelectorAll("tr[data-estimate]")) {
      const figures = counties[county].rows[row.dataset.estimate];
      for (const name of ["mean", "interval"]) part(name, row).textContent = figures[name];
    }
    for (const view of views) view.signal("county", county).runAsync();
  };
  const pick = (county) => {
    picked = county;
    select.value = county;
    show(county);
  };

  views[0].addSignalListener("hovered", (_, at) => show(at.county?.[0] ?? picked));
  views[0].addSignalListener("picked", (_, at) => pick(at.county?.[0] ?? picked));
  select.addEventListener("input", () => pick(select.value));
  root.querySelector("fieldset").addEventListener("input", ({ target }) => {
    root.dataset.estimate = target.value;
    views[0].signal("estimate", target.value).runAsync();
  });

  // A browser that reloads may have kept the reader's choices.
  pick(select.value);
  root.querySelector("fieldset :checked").dispatchEvent(new Event("input", { bubbles: true }));
  root.querySelector(".explorer-controls").hidden = false;
  root.dataset.ready = "";
});

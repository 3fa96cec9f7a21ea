// The site's way to its figures: figures.js, of which this becomes the end (static_site.py), is one
// file for all pages, and the data of a figure come when it is nearly in sight. A page that lies on
// disk may load scripts and nothing else, so the data are a script that hands them over.

function load(figure) {
  const place = figure.querySelector("template[data-state]");
  if (!place) return; // another figure with the same data has brought them
  const script = document.createElement("script");
  script.src = place.dataset.state;
  document.head.append(script);
}

const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    load(target);
  }
}, { rootMargin: "1500px" });

window.dgmState = (name, state) => {
  for (const place of document.querySelectorAll(`template[data-state$="/${name}.js"]`)) {
    const data = document.createElement("script");
    data.type = "application/json";
    data.textContent = state;
    place.replaceWith(data);
  }
  mount();
  dispatchEvent(new Event("figure-drawn"));
};

for (const place of document.querySelectorAll("template[data-state]")) near.observe(place.parentElement);

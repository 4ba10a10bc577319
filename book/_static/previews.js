// Previews of equations, theorems, terms, references and pages, shown beside a link that the pointer rests on or that
// has the focus. The extension sphinx-tippy collects them and calls `tippy` for each link.

const preview = document.createElement("div");
preview.className = "preview";
preview.setAttribute("role", "tooltip");
preview.id = "preview";
preview.hidden = true;
document.body.append(preview);
let waiting = 0;

function show(link, html) {
  preview.innerHTML = html;
  for (const node of [preview, ...preview.querySelectorAll("[id]")]) if (node !== preview) node.removeAttribute("id");
  preview.hidden = false;
  link.setAttribute("aria-describedby", "preview");
  const place = () => {
    const at = link.getBoundingClientRect(), box = preview.getBoundingClientRect(), wide = document.documentElement.clientWidth;
    preview.style.left = `${Math.max(8, Math.min(at.left, wide - box.width - 8))}px`;
    preview.style.top = `${at.top > box.height + 12 ? at.top - box.height - 8 : at.bottom + 8}px`;
  };
  place();
  window.MathJax?.typesetPromise?.([preview]).then(place);
}

function hide() {
  clearTimeout(waiting);
  preview.hidden = true;
  document.querySelector("[aria-describedby=preview]")?.removeAttribute("aria-describedby");
}

globalThis.tippy = (link, { content }) => {
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(show, 250, link, content); };
  link.addEventListener("mouseenter", soon);
  link.addEventListener("focus", soon);
  for (const event of ["mouseleave", "blur", "click"]) link.addEventListener(event, hide);
};
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
document.addEventListener("scroll", hide, { passive: true });

"use strict";
// The page is readable without this script, which enlarges and flips pictures and sorts tables.
(() => {
  const make = (tag, parent, properties) => parent.appendChild(Object.assign(document.createElement(tag), properties));

  // Flipping between the pictures of a scene in place makes differences more visible than pictures side by side.
  const box = make("dialog", document.body, {});
  const caption = make("p", box, {});
  const large = make("img", box, { alt: "" });
  const bar = make("div", box, { className: "bar" });
  let scene = [];
  let shown = 0;

  const show = (index) => {
    shown = (index + scene.length) % scene.length;
    const small = scene[shown];
    large.src = small.src;
    large.alt = small.alt;
    caption.textContent = small.alt;
    [...bar.children].forEach((button, at) => {
      if (at === shown) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
  };
  const open = (small) => {
    scene = [...small.closest(".figures").querySelectorAll("img")];
    bar.replaceChildren();
    scene.forEach((each, at) => {
      const name = each.closest("figure").querySelector("b").textContent;
      make("button", bar, { type: "button", textContent: name, onclick: () => show(at) });
    });
    make("button", bar, { type: "button", textContent: "Close", onclick: () => box.close() });
    show(scene.indexOf(small));
    box.showModal();
    bar.children[shown].focus();
  };
  large.onclick = () => show(shown + 1);
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") show(shown + 1);
    if (event.key === "ArrowLeft") show(shown - 1);
  });
  document.querySelectorAll(".figures img").forEach((small) => {
    small.tabIndex = 0;
    small.setAttribute("role", "button");
  });
  document.addEventListener("click", (event) => {
    if (event.target.matches(".figures img")) open(event.target);
  });
  document.addEventListener("keydown", (event) => {
    if ((event.key !== "Enter" && event.key !== " ") || !event.target.matches(".figures img")) return;
    event.preventDefault();
    open(event.target);
  });

  const sort = (heading) => {
    const body = heading.closest("table").tBodies[0];
    const at = heading.cellIndex;
    const first = heading.dataset.first || (at === 0 ? "ascending" : "descending"); // the best value comes first
    const before = heading.getAttribute("aria-sort");
    const descending = before ? before === "ascending" : first === "descending";
    heading.parentElement.querySelectorAll("th").forEach((each) => each.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = (row) => row.cells[at].dataset.value;
    const order = (first, second) => {
      if (at === 0) return first.cells[0].textContent.localeCompare(second.cells[0].textContent) * (descending ? -1 : 1);
      if (!key(first) || !key(second)) return (key(first) ? 0 : 1) - (key(second) ? 0 : 1); // undefined values come last
      return (Number(key(second)) - Number(key(first))) * (descending ? 1 : -1);
    };
    body.append(...[...body.rows].sort(order));
  };
  document.querySelectorAll("table.sortable thead tr:last-child th").forEach((heading) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = heading.title ? `${heading.title} Click to sort.` : "Sort";
    button.append(...heading.childNodes);
    button.onclick = () => sort(heading);
    heading.append(button);
  });
})();

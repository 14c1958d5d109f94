// Tabs over the pages. Without this script all pages stand one below the other, and the links jump to them.
// A page that becomes visible gets the event "page:shown", so that what needs a width can draw itself then.
(() => {
  "use strict";
  const list = document.getElementById("tabs");
  const tabs = [...list.querySelectorAll("a")];
  const pages = tabs.map((tab) => document.getElementById(tab.hash.slice(1)));
  list.setAttribute("role", "tablist");
  tabs.forEach((tab, place) => {
    tab.parentElement.setAttribute("role", "presentation");
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", pages[place].id);
    pages[place].setAttribute("role", "tabpanel");
    pages[place].setAttribute("aria-labelledby", tab.id);
  });

  function show(place) {
    tabs.forEach((tab, other) => {
      tab.setAttribute("aria-selected", String(other === place));
      tab.tabIndex = other === place ? 0 : -1;
      pages[other].hidden = other !== place;
    });
    tabs[place].scrollIntoView({ block: "nearest", inline: "nearest" });
    pages[place].dispatchEvent(new CustomEvent("page:shown", { bubbles: true }));
  }

  // The page of the address, or the page that holds what the address names.
  function follow() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const place = location.hash ? pages.findIndex((page) => target && page.contains(target)) : 0;
    if (place >= 0) {
      show(place);
      if (target && target !== pages[place]) target.scrollIntoView();
      else window.scrollTo(0, 0);
    }
  }

  list.addEventListener("keydown", (event) => {
    const here = tabs.indexOf(document.activeElement);
    const last = tabs.length - 1;
    const to = { ArrowRight: here === last ? 0 : here + 1, ArrowLeft: here ? here - 1 : last, Home: 0, End: last }[event.key];
    if (here < 0 || to === undefined) return;
    event.preventDefault();
    tabs[to].focus();
    tabs[to].click();
  });
  tabs.forEach((tab, place) => tab.addEventListener("click", (event) => {
    event.preventDefault(); // the jump would hide the title
    if (location.hash !== tab.hash) history.pushState(null, "", tab.hash);
    show(place);
    window.scrollTo(0, 0);
  }));
  window.addEventListener("hashchange", follow);
  window.addEventListener("popstate", follow);
  window.addEventListener("load", follow); // after the browser's own jump to the address, which would hide the title

  const closed = [];
  window.addEventListener("beforeprint", () => {
    closed.push(...document.querySelectorAll("details:not(.takeaway):not(.raw):not([open])"));
    closed.forEach((fold) => { fold.open = true; });
  });
  window.addEventListener("afterprint", () => closed.splice(0).forEach((fold) => { fold.open = false; }));

  show(0);
  follow();
})();

// Says when a part of the page that refreshes by itself, or the search, does not get through; htmx itself stays silent.
// Everything is in one line of text that the page has from the start, so that screen readers announce it once.
(() => {
  "use strict";

  const said = { refresh: "", search: "" };
  let last = new Date();

  /** Which of the two a request is; a form searches, everything else refreshes. */
  function kind(event) {
    const config = event.detail.requestConfig;
    const origin = (config && config.elt) || event.detail.elt;
    return origin && origin.matches("form[role=search]") ? "search" : "refresh";
  }

  function show() {
    const line = document.getElementById("live_line");
    const text = [said.refresh, said.search].filter(Boolean).join(" ");
    // The same words again would be announced again.
    if (line && line.textContent !== text) line.textContent = text;
  }

  function clock(time) {
    return [time.getHours(), time.getMinutes()].map((part) => String(part).padStart(2, "0")).join(":");
  }

  function failed(event) {
    if (kind(event) === "search") {
      said.search = "The search did not work. Press Search to try again.";
    } else {
      said.refresh = `This page is not up to date since ${clock(last)}; trying again.`;
    }
    show();
  }

  function ended(event) {
    if (!event.detail.successful) return;
    said[kind(event)] = "";
    last = new Date();
    show();
  }

  for (const name of ["responseError", "sendError", "timeout", "swapError", "onLoadError"]) {
    document.addEventListener(`htmx:${name}`, failed);
  }
  document.addEventListener("htmx:afterRequest", ended);
})();

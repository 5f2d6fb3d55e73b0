addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => (one.open = true)));

// A link into a folded table opens it.
function unfold() {
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details")?.setAttribute("open", "");
}
addEventListener("hashchange", unfold);
unfold();

// Reads the page again every so often, unless the reader stops it to look at something.
const button = document.getElementById("pause");
let waiting = setTimeout(() => location.reload(), 1000 * button.dataset.seconds);
button.hidden = false;
button.addEventListener("click", () => {
  if (!waiting) return location.reload();
  clearTimeout(waiting);
  waiting = 0;
  button.textContent = "Read again, and go on";
});

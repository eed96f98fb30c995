// Early: the chosen theme, before the first frame is drawn. It is no module, since a module would come later.
document.documentElement.dataset.theme = localStorage.getItem("maestro.theme") ?? "";

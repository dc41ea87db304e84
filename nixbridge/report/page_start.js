// Begin, when all is defined.

startMap();
startCosts();
startPath();
document.querySelectorAll("section.table").forEach((section) => {
  if (section.id in data.tables) startTable(section);
});

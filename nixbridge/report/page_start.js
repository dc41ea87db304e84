// Begin, when all is defined.

startMap();
startCosts();
startPath();
document.querySelectorAll("section.table").forEach(startTable);

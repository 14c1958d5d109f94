"""Before a run: look at raw folders, write a project, check all plates without reading pixels, take a new inventory."""

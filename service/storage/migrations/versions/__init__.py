"""One module a migration, each undoable."""

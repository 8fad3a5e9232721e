"""One chip: its random draws, stuck cells, physics, cells, reads and votes."""

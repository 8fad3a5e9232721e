"""Tasks, metrics, and scores die by die."""

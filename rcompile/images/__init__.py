"""Images in other formats, for benches: a module a format, a line each in the table."""

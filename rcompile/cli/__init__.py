"""The command line: commands, and what they print. No logic."""

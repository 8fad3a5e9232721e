"""Regression tests under fault injection: `*.rcheck.toml` as pytest's items. docs/regression.md is the prose."""

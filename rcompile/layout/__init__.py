"""The tile normal form, and the stages from weights to levels."""

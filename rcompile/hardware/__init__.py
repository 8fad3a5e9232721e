"""Hardware as validated data: targets, their files, and the effects of real arrays."""

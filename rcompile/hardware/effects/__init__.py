"""Effects: what real arrays do beyond the ideal read. One module each: its keys, its rules, and its closed form."""

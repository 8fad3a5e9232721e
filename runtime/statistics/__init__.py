"""What a few dies say about all: intervals, yield, verdicts that stop early, tolerated rates of faults."""

"""Campaigns: a grid of models, targets, protections, faults and dies, each point scored once."""

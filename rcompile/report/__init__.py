"""Reports: the results of a campaign as one page that needs nothing else."""

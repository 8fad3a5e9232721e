"""Training: find the rows and columns of a BERT-family model that a target's crossbars can do without. Needs the extra
`train`.
"""

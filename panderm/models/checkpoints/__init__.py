"""Weights that were made elsewhere: what a file is, how each of its keys becomes ours, and the way back.

Belongs here: key tables, sizes read off tensors, the account of every key, reading without unpickling code. Does not: networks
(``panderm.models``) and training from such weights (``panderm.training.start``). Import the modules themselves.
"""

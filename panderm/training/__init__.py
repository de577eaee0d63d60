"""How a network is trained: the torchrun launch, the data path, schedules, resume states and the training processes.

Belongs here: everything between a config and finished weights. Does not: what a network is (``models``) or when it is
trained (the stages). Import the modules themselves; this file loads nothing.
"""

"""Pairs of images of one lesion, made comparable step by step (paper, Methods, change detection).

What belongs here: dark corners, hair, registration, lesion mask, the ablation arms, pictures of every step, and the cache of
aligned pairs. What does not: networks, labels, figures. ``settings.py`` holds every number and says which are the paper's.
"""

"""What every other room stands on: errors, configuration, whole-file writing, tables, paths, records, progress.

Belongs here: code without a word of dermatology in it. Does not: images, models, anything that imports torch.
"""

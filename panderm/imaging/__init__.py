"""Pixels: safe decoding, preprocessing, perceptual hashes, shard files.

Belongs here: anything between delivered bytes and a uint8 array. Does not: labels, tables of sources, torch.
"""

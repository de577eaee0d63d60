"""Networks: the encoder and how it is built, loaded and saved; regressor, teacher, masks and the pretraining objective.

Belongs here: ``nn.Module``s and their files. Does not: loops, optimisers, data; and no image is decoded here.
Import the modules themselves (``panderm.models.encoder``): this file loads nothing, so that commands stay fast.
"""

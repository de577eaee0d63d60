"""PanDerm as a pipeline: from eleven institutions' images to gated models on a Triton server.

The library never imports dagster; ``dagster_project/`` drives it, ``panderm <stage>`` runs the same code from a shell.
"""

__version__ = "0.1.0"

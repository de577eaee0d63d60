"""How a gated model meets its callers: bundle, Triton model folders, the local server, the client.

Belongs here: ONNX graphs and their parity, what a bundle holds, ``config.pbtxt``, the release's renames, starting and
asking a Triton server. Does not: how a model is trained or judged. ``triton/`` holds the two files that run inside the
server's own Python; they import Pillow, numpy and ONNX Runtime only, never ``panderm``.
"""

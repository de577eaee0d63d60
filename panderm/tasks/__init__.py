"""What a kind of task does with an encoder: prepare its rows, fit, and describe the fit.

Belongs here: one module a kind (diagnosis) and a protocol (linear probe, fine-tuning). Does not: networks (``models``),
training processes (``training``), figures (``evaluation``). A new kind of task is a new module here and rows in the catalogue.
"""

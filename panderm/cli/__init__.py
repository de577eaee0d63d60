"""The ``panderm`` command: one module per command, each with a click command named ``command``.

Belongs here: options, help texts, printing. Does not: work; a command calls one function of a stage and prints its record.
"""

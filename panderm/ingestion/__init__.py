"""How a delivery becomes shards: what is news, worker processes, packing, the ledger, and the two tables of the result.

Belongs here: everything of ``panderm.ingest`` that decides about files. Does not: native layouts (``panderm.readers``), how
one picture is decoded and stored (``panderm.imaging``), contracts.
"""

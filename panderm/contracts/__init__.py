"""What every dataset's manifest has to meet before it is published: thresholds as data, rules as Great Expectations.

Belongs here: ``contracts.yaml``, the rules, the readable result. Does not: deciding what happens then (``panderm.validate``).
"""

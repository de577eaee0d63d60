"""Definitions: one module per asset group, then jobs and automation. All of it is loaded; plain code lives one folder up."""

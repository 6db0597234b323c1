"""A command a file: `add` declares its arguments, `run` does it.

What takes seconds to import is imported by `run`, so that help and errors of the command line come at once.
"""

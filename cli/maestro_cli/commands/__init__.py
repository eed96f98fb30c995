"""Commands: one module each, imported when its command is run.

Rule: a module holds the command's options, its help and examples, and its steps in order; what is said is made
in `render` and written by `output`.
"""

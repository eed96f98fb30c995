"""Migration: brings the files of an older data format to the present one, one step for each version.

Rule: a step may be killed anywhere and is then run again. It reads and writes the documents of its own two versions
as plain values, so that a later change of a class does not change an old step.
"""

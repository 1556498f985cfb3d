"""Flags of `bind-backend`, checked before anything starts (spec 4.1).

Belongs here: what a flag means, its default, its bounds, and the checked values that the program works with.
Does not belong here: what is done with them.
"""

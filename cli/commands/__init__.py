"""One module per command: options, help texts, and the hand-over to the code that does the work.

No decisions and no requests here; a command module reads as a list of what the command accepts.
"""

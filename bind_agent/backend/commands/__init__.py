"""What a person types besides `serve`: `tenant …` and `rbac`.

Belongs here: click commands and their output. Does not belong here: rules or requests of their own; commands
call the same code as the controllers and the web half.
"""

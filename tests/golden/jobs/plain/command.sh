# The command.
exec -- true

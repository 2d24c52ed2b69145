# The command.
exec -- python3 train.py

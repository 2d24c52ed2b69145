# The command.
exec bash "$PCINFRA_RUN_DIR/script" --epochs '3 4'

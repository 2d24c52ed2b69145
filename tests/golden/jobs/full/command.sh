# The command.
exec -- python3 train.py --note 'it'"'"'s "fine" $HOME `date` # no
really' ''

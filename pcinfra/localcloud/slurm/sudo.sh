#!/bin/sh
# Stands for sudo in a session on a node of the local cloud. The node's agent is root already; where nodes share this
# host it is whoever started the local cloud, and can become nobody else.
user=root login=
while [ $# -gt 0 ]; do
  case $1 in
    -u) user=$2; shift ;;
    -i) login=yes ;;
    -n | -H) ;;
    --) shift; break ;;
    -*) echo "sudo of the local cloud does not know $1" >&2; exit 1 ;;
    *) break ;;
  esac
  shift
done

become=''; home=${HOME:-/}
if [ "$(id -u)" = 0 ]; then
  home=$(getent passwd "$user" | cut -d: -f6)
  [ -n "$home" ] || { echo "sudo: unknown user $user" >&2; exit 1; }
  become="setpriv --reuid=$user --regid=$user --init-groups -- env HOME=$home USER=$user LOGNAME=$user SHELL=/bin/bash"
fi
# shellcheck disable=SC2086 # become is a list of words
if [ -z "$login" ]; then
  exec $become "$@"
elif [ $# -gt 0 ]; then
  cd "$home" && exec $become bash -l -c "$*"
else
  cd "$home" && exec $become bash -l
fi

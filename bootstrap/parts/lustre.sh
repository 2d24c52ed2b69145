# Without this, data would be written below an unmounted path and vanish from view at the next mount. A mount of a file
# system that cannot be reached hangs for minutes.
need_lustre() {
  mountpoint -q "$ROOT$lustre" || timeout -k 5 90 mount "$ROOT$lustre" || true
  mountpoint -q "$ROOT$lustre" || fail "$lustre is not mounted: $(why_no_lustre)"
}

# The usual cause is a kernel that was updated: a client module is built for one kernel and loads into no other.
why_no_lustre() {
  local kernel module built=''
  kernel=$(uname -r)
  if ! modinfo -k "$kernel" lustre >/dev/null 2>&1; then
    for module in "$ROOT"/lib/modules/*/; do
      module=${module%/}
      if [[ -n $(find "$module" -name 'lustre.ko*' -print -quit 2>/dev/null) ]]; then built+=" ${module##*/}"; fi
    done
    printf %s "the Lustre client has no module for the running kernel $kernel (it has one for:${built:- none});"
    printf %s " use an image whose kernel matches, or install the client for this kernel"
  elif ! grep -qs "[[:space:]]${lustre}[[:space:]]" "$ROOT/etc/fstab"; then
    printf %s "it is not in /etc/fstab: SharedStorage of the cluster has no file system for $lustre"
  elif ! modprobe lustre >/dev/null 2>&1; then
    printf %s "the Lustre module for kernel $kernel does not load; dmesg | tail says why"
  else
    printf %s "the file system does not answer; its security group must let this node reach TCP port 988"
  fi
}

# Unattended upgrades would bring a kernel that the Lustre module does not fit, at the next reboot.
hold_kernel() {
  local name names=() held
  grep -qs '^ID=ubuntu$' "$ROOT/etc/os-release" || return 0
  held=$(apt-mark showhold 2>/dev/null) || return 0
  for name in linux-aws linux-image-aws linux-headers-aws; do
    if [[ $'\n'$held$'\n' != *$'\n'"$name"$'\n'* ]] && dpkg-query -W "$name" >/dev/null 2>&1; then names+=("$name"); fi
  done
  ((${#names[@]})) || return 0
  if apt-mark hold "${names[@]}" >/dev/null 2>&1; then log "held ${names[*]}"; else warn "cannot hold ${names[*]}"; fi
}

# Where containers unpack: the instance's own disks where it has any, else the root volume. The sample says /run, which
# is memory: a training image of 20 GB there takes 20 GB from the job.
container_storage() {
  if mountpoint -q "$ROOT$scratch"; then printf %s "$scratch/enroot"; else printf %s /var/enroot; fi
}

configure_enroot() {
  local disk
  disk=$(container_storage)
  common_directory "$ROOT$disk"
  common_directory "$ROOT$disk/cache"
  common_directory "$ROOT$disk/data"
  common_directory "$ROOT$disk/tmp"
  # shellcheck disable=SC2016 # enroot expands these, for each user
  option ENROOT_CACHE_PATH "$disk/cache/group-\$(id -g)" <"$EXAMPLES/enroot/enroot.conf" |
    option ENROOT_DATA_PATH "$disk/data/user-\$(id -u)" |
    option ENROOT_TEMP_PATH "$disk/tmp" |
    option ENROOT_CONFIG_PATH /etc/enroot/config |
    put "$ROOT/etc/enroot/enroot.conf" 644
}

# Reads an enroot.conf, prints it with one option set.
option() {
  awk -v key="$1" -v value="$2" '
    $1 == key { if (!set) print key, value; set = 1; next }
    { print }
    END { if (!set) print key, value }'
}

# /run is empty after a reboot; systemd makes these again.
configure_run_directories() {
  local directory
  for directory in /run/enroot /run/pyxis; do
    common_directory "$ROOT$directory"
    printf 'd %s 1777 root root -\n' "$directory"
  done | put "$ROOT/etc/tmpfiles.d/pcinfra-containers.conf" 644
}

# The PyTorch hook asks scontrol for the first node, but slurmd's PATH does not lead to it.
configure_hooks() {
  local hook source
  for hook in 50-slurm-pmi.sh 50-slurm-pytorch.sh; do
    source=$ROOT/usr/share/enroot/hooks.d/$hook
    if [[ ! -f $source ]]; then
      warn "$source is missing; enroot is not complete"
      continue
    fi
    # shellcheck disable=SC2016 # expanded when the hook runs
    sed '1a export PATH="/opt/slurm/bin:${PATH:-/usr/bin:/bin}"' "$source" | put "$ROOT/etc/enroot/hooks.d/$hook" 755
  done
}

# Ubuntu 24.04 forbids user namespaces to unprivileged programs; enroot is one and needs them.
allow_user_namespaces() {
  local key=kernel.apparmor_restrict_unprivileged_userns
  local now=$ROOT/proc/sys/${key//.//}
  [[ -f $now && $(<"$now") != 0 ]] || return 0
  put "$ROOT/etc/sysctl.d/90-pcinfra-containers.conf" 644 <<<"$key = 0"
  sysctl -q -w "$key=0"
}

# Brings the images of --image to this node's storage, so that the first job does not wait for them. A node without
# them still works: it warns.
warm_images() {
  local image folder name
  ((${#images[@]})) || return 0
  folder=$ROOT$(container_storage)/images
  mkdir -p "$folder"
  chmod 755 "$folder"
  for image in "${images[@]}"; do
    name=${image##*/}
    name=${name%.sqsh}
    warm_image "$image" "$folder/${name//[:@#]/+}.sqsh" || warn "$image could not be brought to this node"
  done
}

# Copies a squashfs, or imports an image into one. The file appears complete or not at all.
warm_image() {
  local image=$1 file=$2 new=$2.new
  if [[ $image == /* ]]; then
    if [[ -f $file && ! $ROOT$image -nt $file && $(stat -c %s "$ROOT$image") == "$(stat -c %s "$file")" ]]; then return; fi
    timeout -k 5 900 cp -- "$ROOT$image" "$new" || { rm -f "$new"; return 1; }
  else
    if [[ -f $file ]]; then return; fi
    rm -f "$new"
    timeout -k 5 900 enroot import -o "$new" "docker://${image#docker://}" >&2 || { rm -f "$new"; return 1; }
  fi
  chmod 644 "$new"
  mv -f "$new" "$file"
  log "brought $image to ${file#"$ROOT"}"
}

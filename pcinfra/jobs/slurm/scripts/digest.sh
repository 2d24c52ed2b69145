# digest_of IMAGE: print the digest (64 hex digits) that an image's tag means now, asked of its registry; or fail, with
# the reason. IMAGE is as Enroot takes it: [REGISTRY#]REPOSITORY[:TAG]. Source: OCI distribution specification, "Pulling
# manifests"; "Token Authentication Specification" (distribution). Passwords are those of Enroot, and in no argument.
digest_of() {
  local host=registry-1.docker.io repository=$1 tag=latest url headers challenge token='' found
  case $repository in *'#'*) host=${repository%%#*} repository=${repository#*#} ;; esac
  case ${repository##*/} in *:*) tag=${repository##*:} repository=${repository%:*} ;; esac
  [ "$host" != registry-1.docker.io ] || [[ $repository == */* ]] || repository=library/$repository
  url=https://$host/v2/$repository/manifests/$tag
  headers=$(manifest_head "$url") || { echo "$host does not answer" >&2; return 1; }
  challenge=$(sed -n 's/^www-authenticate: *bearer *//Ip' <<<"$headers" | tail -n 1)
  if [ "$(status_of "$headers")" = 401 ] && [ -n "$challenge" ]; then
    token=$(token_for "$challenge") || { echo "$host gives no token" >&2; return 1; }
    headers=$(manifest_head "$url" "$token") || { echo "$host does not answer" >&2; return 1; }
  fi
  found=$(sed -nE 's/^docker-content-digest: *sha256:([0-9a-f]{64})$/\1/Ip' <<<"$headers" | tail -n 1)
  [ "$(status_of "$headers")" = 200 ] && [ -n "$found" ] && echo "$found" && return
  echo "$host says $(status_of "$headers") to $repository:$tag" >&2
  return 1
}
status_of() { sed -nE 's/^HTTP\/[0-9.]+ ([0-9]{3}).*/\1/p' <<<"$1" | tail -n 1; }
# manifest_head URL [TOKEN]: print the headers of a manifest.
manifest_head() {
  local kinds=application/vnd.oci.image.index.v1+json,application/vnd.docker.distribution.manifest.list.v2+json
  kinds+=,application/vnd.oci.image.manifest.v1+json,application/vnd.docker.distribution.manifest.v2+json
  { [ -z "${2:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$2"; printf 'header = "Accept: %s"\n' "$kinds"; } |
    if [ -n "${2:-}" ]; then
      curl -sS -m 15 -I -L -K - -- "$1"
    else
      curl -sS -m 15 -I -L -K - --netrc-file <(enroot_passwords) -- "$1"
    fi 2>/dev/null | tr -d '\r'
  return "${PIPESTATUS[1]}"
}
# token_for CHALLENGE: print a token for what a registry asks for: realm="...",service="...",scope="..."
token_for() {
  local name value realm='' options=()
  while read -r name value; do
    case $name in
      realm) realm=$value ;;
      service | scope) options+=(--data-urlencode "$name=$value") ;;
    esac
  done < <(grep -oE '[a-z]+="[^"]*"' <<<"$1" | sed -E 's/="(.*)"/ \1/')
  [[ $realm == https://* ]] || return
  curl -fsS -m 15 -G "${options[@]}" --netrc-file <(enroot_passwords) -- "$realm" 2>/dev/null |
    sed -nE 's/.*"(access_)?token" *: *"([A-Za-z0-9._~+\/=-]+)".*/\2/p' | head -n 1 | grep .
}
# enroot_passwords: print the user's credentials of Enroot, in the form of netrc. Enroot runs the commands in them, too.
enroot_passwords() {
  local file=${ENROOT_CONFIG_PATH:-/etc/enroot/config}/.credentials
  [ -r "$file" ] || file=${XDG_CONFIG_HOME:-$HOME/.config}/enroot/.credentials
  [ ! -r "$file" ] || eval "cat <<END_OF_CREDENTIALS
$(<"$file")
END_OF_CREDENTIALS"
}

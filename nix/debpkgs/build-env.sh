# Make $out$extraPrefix a tree of links into the paths that $pathsPath lists, one "PRIORITY PATH" a line.
#
# A directory that one package has becomes one link; where several have it, a directory of links.
# Of two files with one name, the one of the lower priority number wins; with equal numbers it is a
# collision: an error, unless both have the same content or $ignoreCollisions is set.
declare -A priorityOf=()
roots=()
while read -r priority path; do
  if [ -z "${priorityOf[$path]-}" ] && [ -d "$path" ]; then
    roots+=("$path")
    priorityOf[$path]=$priority
  fi
done < <(sort -s -n -k 1,1 "$pathsPath")

rootOf() { # the root that a path below one belongs to
  local root
  for root in "${roots[@]}"; do
    if [ "$1" = "$root" ] || [[ $1 == "$root"/* ]]; then
      echo "$root"
      return
    fi
  done
}

linkFile() { # linkFile TARGET CANDIDATE...: the first wins, if it may
  local target=$1 other
  shift
  for other in "${@:2}"; do
    if [ -z "$ignoreCollisions" ] &&
      [ "${priorityOf[$(rootOf "$1")]}" = "${priorityOf[$(rootOf "$other")]}" ] &&
      ! cmp -s "$1" "$other"; then
      echo "collision between $1 and $other" >&2
      exit 1
    fi
  done
  ln -s "$1" "$target"
}

linkDirectory() { # linkDirectory TARGET SOURCE...
  local target=$1 source entry name
  shift
  if [ $# = 1 ] && [ "$target" != "$top" ]; then
    ln -s "$1" "$target"
    return
  fi
  mkdir -p "$target"
  local -A found=()
  for source; do
    for entry in "$source"/* "$source"/.[!.]*; do
      name=${entry##*/}
      # A package's word to Nix is not content.
      if { [ -e "$entry" ] || [ -L "$entry" ]; } && [ "$name" != nix-support ]; then
        found[$name]+=$entry$'\n'
      fi
    done
  done
  local -a candidates directories
  for name in "${!found[@]}"; do
    mapfile -t candidates <<< "${found[$name]%$'\n'}"
    directories=()
    for entry in "${candidates[@]}"; do
      if [ -d "$entry" ]; then directories+=("$entry"); fi
    done
    if [ ${#candidates[@]} = 1 ]; then
      ln -s "${candidates[0]}" "$target/$name"
    elif [ ${#directories[@]} = ${#candidates[@]} ]; then
      linkDirectory "$target/$name" "${directories[@]}"
    else
      linkFile "$target/$name" "${candidates[@]}"
    fi
  done
}

mkdir -p "$out$extraPrefix"
for linked in $pathsToLink; do
  top=$out$extraPrefix
  if [ "$linked" = / ]; then
    linkDirectory "$top" "${roots[@]}"
    continue
  fi
  sources=()
  for root in "${roots[@]}"; do
    if [ -d "$root$linked" ]; then sources+=("$root$linked"); fi
  done
  if [ ${#sources[@]} -gt 0 ]; then
    mkdir -p "$(dirname "$top$linked")"
    linkDirectory "$top$linked" "${sources[@]}"
  fi
done

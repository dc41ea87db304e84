# Make a unit: unpack its .debs into $out, and let every file find what it needs in the store.
#
# Runs under the bootstrap's busybox ash, with its applets and its patchelf and nothing else.
# Input: $bootstrap; $debs; $needs, the units that this one refers to; $remove, $drop and $links, what
# it does not keep and what it adds; $patchElf; $fixup, shell code run at the end (fixups.nix).
# fetcher/deb.py and graph.py read the same packages to find $needs: the rules here are theirs.
set -eu
umask 022
build=$PWD
mkdir applets
"$bootstrap/busybox" --install -s applets
export PATH=$bootstrap:$build/applets
tab=$(printf '\t')

unpack() { # unpack DEB: add its files to ./root
  local member filter
  member=$(ar t "$1" | grep '^data\.tar')
  case $member in
    *.xz) filter="xz -dc" ;;
    *.gz) filter="gzip -dc" ;;
    *.tar) filter=cat ;;
    *) echo "$1: no way to unpack $member" >&2; exit 1 ;;
  esac
  # Neither owners nor set-id bits: the store keeps none, and Nix forbids setting them in a build.
  ar p "$1" "$member" | $filter | tar -x -o --no-same-permissions -f - -C root
}

# The paths that links point to are computed before anything moves: link, target below $out, as it was.
read_links() {
  (
    cd root
    find . -type l | while IFS= read -r link; do printf '%s\t%s\n' "$link" "$(readlink "$link")"; done
  ) | awk -F"$tab" '
    function flat(path,   count, parts, i, depth, stack, result) {
      count = split(path, parts, "/"); depth = 0
      for (i = 1; i <= count; i++) {
        if (parts[i] == "" || parts[i] == ".") continue
        if (parts[i] == "..") { if (depth > 0) depth--; continue }
        stack[++depth] = parts[i]
      }
      i = (depth >= 1 && stack[1] == "usr") ? 2 : 1
      if (i <= depth && (stack[i] == "sbin" || stack[i] == "games")) stack[i] = "bin"
      for (result = ""; i <= depth; i++) result = result (result == "" ? "" : "/") stack[i]
      return result
    }
    { directory = $1; sub(/\/[^\/]*$/, "", directory)
      print flat($1) "\t" flat($2 ~ /^\// ? $2 : directory "/" $2) "\t" $2 }'
}

# Where /bin/x is a link to /usr/bin/x, the link would replace what it points to: the file stays.
merge() { # merge FROM INTO: move the contents of a directory, going into directories both have
  mkdir -p "$2"
  local entry
  for entry in "$1"/* "$1"/.[!.]*; do
    if [ -d "$entry" ] && [ ! -L "$entry" ] && [ -d "$2/${entry##*/}" ]; then
      (merge "$entry" "$2/${entry##*/}")
    elif [ -L "$entry" ] && [ -e "$2/${entry##*/}" ]; then
      rm "$entry"
    elif [ -e "$entry" ] || [ -L "$entry" ]; then
      mv "$entry" "$2/${entry##*/}"
    fi
  done
}

# No usr, and one bin.
flatten() {
  local directory
  for directory in usr/bin usr/sbin usr/games bin sbin; do
    if [ -d "root/$directory" ] && [ ! -L "root/$directory" ]; then
      merge "root/$directory" "$out/bin"
      rm -rf "root/$directory"
    fi
  done
  if [ -d root/usr ]; then
    merge root/usr "$out"
    rm -rf root/usr
  fi
  merge root "$out"
}

first_with() { # first_with PATH: the first of this unit and its needs that has it
  local unit
  for unit in "$out" $needs; do
    if [ -e "$unit/$1" ] || [ -L "$unit/$1" ]; then
      echo "$unit"
      return
    fi
  done
  return 1
}

repoint_scripts() {
  local script line program unit
  find . -type f -perm -0100 -print0 | xargs -0 -r grep -l '^#!' > "$build/scripts" || true
  while IFS= read -r script; do
    IFS= read -r line < "$script" || true
    case $line in '#!'*) ;; *) continue ;; esac
    set -f
    set -- ${line#'#!'}
    set +f
    [ $# -gt 0 ] || continue
    program=${1##*/}
    shift
    if [ "$program" = env ]; then
      while [ $# -gt 0 ]; do case $1 in -* | *=*) shift ;; *) break ;; esac; done
      [ $# -gt 0 ] || continue
      program=${1##*/}
      shift
    fi
    if unit=$(first_with "bin/$program"); then
      { printf '#!%s\n' "$unit/bin/$program${*:+ $*}"; tail -n +2 "$script"; } > "$build/script"
      cat "$build/script" > "$script"
    else
      echo "$script keeps its interpreter: $line"
    fi
  done < "$build/scripts"
}

repoint_links() {
  local link target original unit
  while IFS=$tab read -r link target original; do
    [ -L "$link" ] || continue
    case $original in
      /*) ;;
      *) if (cd "$(dirname "$link")" && { [ -e "$original" ] || [ -L "$original" ]; }); then continue; fi ;;
    esac
    if unit=$(first_with "$target"); then
      ln -sfn "$unit/$target" "$link"
    else
      echo "$link points to what no unit has: $original"
    fi
  done < "$build/links"
}

libraries_below() { # libraries_below DIRECTORY [FIND ARGUMENT...]: their names and directories
  local top=$1
  shift
  [ ! -d "$top" ] ||
    find "$top/" "$@" -name '*.so*' | sed "s|^\(.*[^/]\)/*/\([^/]*\)\$|\2$tab\1|"
}

# Give each ELF file its interpreter, and the directories of the libraries that it names, and keep it
# from the directories that the host's libraries would come from.
patch_elf() {
  local unit directory file needed interpreter loader search
  for unit in "$out" $needs; do
    for directory in lib/x86_64-linux-gnu lib lib64; do
      libraries_below "$unit/$directory" -maxdepth 1
    done
  done > "$build/libraries"
  # Private libraries, as systemd has, come after: in this unit first.
  for unit in "$out" $needs; do libraries_below "$unit/lib"; done >> "$build/libraries"
  loader=$(awk -F"$tab" '$1 == "ld-linux-x86-64.so.2" { print $2 "/" $1; exit }' "$build/libraries")
  find . -type f -print0 | xargs -0 -r grep -l "$(printf '^\177ELF')" > "$build/elf" || true
  while IFS= read -r file; do
    needed=$(patchelf --print-needed "$file" 2>/dev/null) || continue
    interpreter=$(patchelf --print-interpreter "$file" 2>/dev/null) || interpreter=
    [ -n "$needed$interpreter" ] || continue
    search=$(printf '%s\n' $needed | awk -F"$tab" -v file="$file" '
      FNR == NR { if (!($1 in directory)) directory[$1] = $2; next }
      $1 == "" || $1 ~ /^ld-linux/ { next }
      !($1 in directory) { print file ": no unit has " $1 > "/dev/stderr"; failed = 1; next }
      !(directory[$1] in seen) {
        seen[directory[$1]] = 1
        path = path (path == "" ? "" : ":") directory[$1]
      }
      END { print path; exit failed }' "$build/libraries" -)
    patchelf ${interpreter:+--set-interpreter "$loader"} --set-rpath "$search" --no-default-lib "$file"
  done < "$build/elf"
}

# --- What fix-ups use

wrap() { # wrap SHELL FILE VARIABLE=VALUE...: run FILE with variables that the caller has not set
  local shell=$1 file=$2 directory name assignment variable
  shift 2
  directory=$(dirname "$file")
  name=$(basename "$file")
  mv "$file" "$directory/.$name-wrapped"
  {
    echo "#!$shell"
    for assignment; do
      variable=${assignment%%=*}
      case $variable in
        # PATH+=x puts x behind what is there.
        *+) variable=${variable%+}
            echo "export $variable=\${$variable:+\$$variable:}${assignment#*=}" ;;
        *) echo "export $variable=\${$variable-${assignment#*=}}" ;;
      esac
    done
    # Programs that look at their own name, like nix-build and git-add, are links to one file.
    echo "exec -a \"\$0\" $out/$directory/.$name-wrapped \"\$@\""
  } > "$file"
  chmod 755 "$file"
}

replace_string() { # replace_string FILE OLD NEW: a string compiled in, with one that is no longer
  local offset
  [ ${#3} -le ${#2} ] || { echo "$3 does not fit in the place of $2" >&2; exit 1; }
  strings -t d "$1" | awk -v old="$2" '$2 == old && NF == 2 { print $1 }' > "$build/offsets"
  while read -r offset; do
    printf '%s\0' "$3" | dd of="$1" bs=1 seek="$offset" conv=notrunc 2>/dev/null
  done < "$build/offsets"
}

mkdir root
for deb in $debs; do unpack "$deb"; done
chmod -R ug-s,u+w root
read_links > links
flatten
cd "$out"
# Patterns: the shell expands them.
rm -rf $remove
for path in $drop; do rm -f "$path"; done
for link in $links; do ln -sfn "${link#*=}" "${link%%=*}"; done
repoint_scripts
repoint_links
[ -z "$patchElf" ] || patch_elf
eval "$fixup"
find "$out" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true

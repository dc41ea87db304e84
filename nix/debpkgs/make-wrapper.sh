# makeWrapper and wrapProgram, as nixpkgs has them: a program that sets its environment and runs another.
#
# The options that wrappers use most: --set, --set-default, --unset, --prefix, --suffix, --add-flags,
# --chdir, --run, --argv0, --inherit-argv0.

makeWrapper() { # makeWrapper ORIGINAL WRAPPER OPTION...
  local original=$1 wrapper=$2 flags= argv0=$1
  shift 2
  mkdir -p "$(dirname "$wrapper")"
  {
    echo "#!$shell -e"
    while [ $# -gt 0 ]; do
      case $1 in
        --set) echo "export $2=${3@Q}"; shift 3 ;;
        --set-default) echo "export $2=\${$2-${3@Q}}"; shift 3 ;;
        --unset) echo "unset $2"; shift 2 ;;
        --prefix) echo "export $2=${4@Q}\${$2:+${3@Q}\$$2}"; shift 4 ;;
        --suffix) echo "export $2=\${$2:+\$$2${3@Q}}${4@Q}"; shift 4 ;;
        --add-flags) flags+=" $2"; shift 2 ;;
        --chdir) echo "cd ${2@Q}"; shift 2 ;;
        --run) echo "$2"; shift 2 ;;
        --argv0) argv0=$2; shift 2 ;;
        --inherit-argv0) argv0=; shift ;;
        *) echo "makeWrapper: no option $1" >&2; return 1 ;;
      esac
    done
    if [ -n "$argv0" ]; then
      echo "exec -a ${argv0@Q} ${original@Q}$flags \"\$@\""
    else
      echo "exec -a \"\$0\" ${original@Q}$flags \"\$@\""
    fi
  } > "$wrapper"
  chmod 755 "$wrapper"
}

wrapProgram() { # wrapProgram PROGRAM OPTION...: the wrapper takes the program's place
  local program=$1 hidden
  shift
  hidden=$(dirname "$program")/.$(basename "$program")-wrapped
  while [ -e "$hidden" ]; do hidden+=_; done
  mv "$program" "$hidden"
  makeWrapper "$hidden" "$program" --inherit-argv0 "$@"
}

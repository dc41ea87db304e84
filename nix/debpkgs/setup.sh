# The shell part of stdenv: $stdenv/setup. Sets the environment and defines the phases; genericBuild, at
# the end, runs them. Read by builds (default-builder.sh), by nix-shell and by nix develop.
#
# $shell and $initialPath are set in the lines that build-support.nix puts before this one.
set -o pipefail

# With structured attributes, `outputs` maps names to paths.
if [[ "$(declare -p outputs 2> /dev/null)" == "declare -A"* ]]; then
  for output in "${!outputs[@]}"; do export "$output=${outputs[$output]}"; done
  outputNames="${!outputs[*]}"
else
  outputNames=$outputs
fi

# A package brings the packages that it propagates.
declare -A addedInputs=()
inputs=()
addInput() {
  [ -z "${addedInputs[$1]-}" ] || return 0
  addedInputs[$1]=1
  inputs+=("$1")
  local propagated
  if [ -f "$1/nix-support/propagated-build-inputs" ]; then
    for propagated in $(< "$1/nix-support/propagated-build-inputs"); do addInput "$propagated"; done
  fi
}
PATH=
for package in ${initialPath[*]}; do PATH=$PATH${PATH:+:}$package/bin; done
initialPATH=$PATH
PATH=
for package in ${nativeBuildInputs[*]} ${buildInputs[*]} ${propagatedBuildInputs[*]}; do
  addInput "$package"
done
for package in "${inputs[@]}"; do
  if [ -d "$package/bin" ]; then PATH=$PATH$package/bin:; fi
done
PATH=$PATH$initialPATH
export PATH SHELL=$shell HOME=/homeless-shelter TZ=UTC
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532800}
export NIX_BUILD_TOP=${NIX_BUILD_TOP:-$PWD}
: "${prefix:=${out-}}"

# Functions and settings that packages bring (nix-support/setup-hook), and that the derivation does.
for package in "${inputs[@]}"; do
  if [ -f "$package/nix-support/setup-hook" ]; then . "$package/nix-support/setup-hook"; fi
done

# A hook or phase: a function of that name, or a variable with code, or nothing.
runHook() {
  local body=${!1-}
  if declare -F "$1" > /dev/null; then
    "$1"
  elif [ -n "$body" ]; then
    eval "$body"
  fi
}

substituteInPlace() { # FILE... [--replace-fail|--replace-warn|--replace-quiet|--replace OLD NEW]...
  local files=() file content
  while [ $# -gt 0 ] && [[ $1 != --* ]]; do files+=("$1"); shift; done
  for file in "${files[@]}"; do
    content=$(cat "$file"; printf x)
    content=${content%x}
    local arguments=("$@")
    while [ ${#arguments[@]} -gt 0 ]; do
      if [[ $content != *"${arguments[1]}"* ]] && [ "${arguments[0]}" != --replace-quiet ]; then
        echo "substituteInPlace: $file has no '${arguments[1]}'" >&2
        [ "${arguments[0]}" != --replace-fail ] || return 1
      fi
      content=${content//"${arguments[1]}"/"${arguments[2]}"}
      arguments=("${arguments[@]:3}")
    done
    printf %s "$content" > "$file"
  done
}

substitute() { # FROM TO [--replace… OLD NEW]...
  local from=$1 to=$2
  shift 2
  [ "$from" = "$to" ] || { cat "$from" > "$to"; }
  substituteInPlace "$to" "$@"
}

# Scripts in these directories run with the interpreters that PATH has now.
patchShebangs() {
  [ "${1-}" != --build ] && [ "${1-}" != --host ] || shift
  local script line interpreter program arguments path
  while IFS= read -r -d '' script; do
    IFS= read -r line < "$script" 2> /dev/null || true
    [[ $line == '#!'* && $line != "#!$NIX_STORE/"* && $line != '#! '"$NIX_STORE/"* ]] || continue
    read -r interpreter arguments <<< "${line#'#!'}"
    program=${interpreter##*/}
    if [ "$program" = env ]; then
      [[ $arguments != -S\ * ]] || arguments=${arguments#-S }
      read -r program arguments <<< "$arguments"
    fi
    path=$(type -P "$program") || continue
    { printf '#!%s\n' "$path${arguments:+ $arguments}"; tail -n +2 "$script"; } > "$NIX_BUILD_TOP/.script"
    cat "$NIX_BUILD_TOP/.script" > "$script"
  done < <(find "$@" -type f -perm -0100 -print0)
}

unpackPhase() {
  runHook preUnpack
  local source directories
  for source in ${srcs:-${src-}}; do
    if [ -d "$source" ]; then
      cp -r --no-preserve=ownership "$source" "$(stripHash "$source")"
    else
      tar -xf "$source"
    fi
  done
  chmod -R u+w .
  if [ -z "${sourceRoot-}" ]; then
    directories=(*/)
    if [ ${#directories[@]} != 1 ] || [ ! -d "${directories[0]}" ]; then
      echo "unpackPhase: not one directory but: ${directories[*]}; set sourceRoot" >&2
      return 1
    fi
    sourceRoot=${directories[0]%/}
  fi
  cd "$sourceRoot"
  runHook postUnpack
}

stripHash() { # /nix/store/HASH-name → name
  local name=${1##*/}
  if [[ $name =~ ^[a-z0-9]{32}- ]]; then name=${name:33}; fi
  echo "$name"
}

patchPhase() {
  runHook prePatch
  local change
  for change in ${patches[*]-}; do patch -p1 < "$change"; done
  runHook postPatch
}

configurePhase() {
  runHook preConfigure
  if [ -x ./configure ]; then ./configure --prefix="$prefix" ${configureFlags[*]-}; fi
  runHook postConfigure
}

makePhase() { # makePhase TARGETS: run make where there is something to make
  if [ -e Makefile ] || [ -e makefile ] || [ -e GNUmakefile ]; then
    make SHELL="$SHELL" ${makeFlags[*]-} "$@"
  fi
}

buildPhase() {
  runHook preBuild
  makePhase ${buildFlags[*]-}
  runHook postBuild
}

checkPhase() {
  runHook preCheck
  makePhase ${checkTarget:-check}
  runHook postCheck
}

installPhase() {
  runHook preInstall
  makePhase ${installFlags[*]-} PREFIX="$prefix" ${installTargets[*]:-install}
  runHook postInstall
}

fixupPhase() {
  runHook preFixup
  local output
  for output in $outputNames; do
    if [ -d "${!output}" ]; then
      [ -n "${dontPatchShebangs-}" ] || patchShebangs "${!output}"
    fi
  done
  if [ -n "${propagatedBuildInputs[*]-}" ]; then
    mkdir -p "$out/nix-support"
    echo "${propagatedBuildInputs[*]}" > "$out/nix-support/propagated-build-inputs"
  fi
  runHook postFixup
}

installCheckPhase() {
  runHook preInstallCheck
  runHook postInstallCheck
}

# Defined here, a phase's variable replaces its function: mkDerivation { buildPhase = "…"; }.
runPhase() {
  local body=${!1-} skip=dont${1^}
  skip=${skip%Phase}
  [ -z "${!skip-}" ] || return 0
  echo "Running phase: $1"
  if [ -n "$body" ]; then eval "$body"; else "$1"; fi
}

genericBuild() {
  local phase
  if [ -n "${buildCommandPath-}" ]; then
    . "$buildCommandPath"
    return
  fi
  if [ -n "${buildCommand-}" ]; then
    eval "$buildCommand"
    return
  fi
  if [ -z "${phases[*]-}" ]; then
    phases=
    [ -z "${src-}${srcs-}${unpackPhase-}" ] || phases="unpackPhase"
    phases+=" patchPhase ${preConfigurePhases[*]-} configurePhase ${preBuildPhases[*]-} buildPhase"
    [ -z "${doCheck-}" ] || phases+=" checkPhase"
    phases+=" ${preInstallPhases[*]-} installPhase fixupPhase"
    [ -z "${doInstallCheck-}" ] || phases+=" installCheckPhase"
    phases+=" ${postPhases[*]-}"
  fi
  for phase in ${phases[*]}; do
    runPhase "$phase"
  done
}

# After this file's functions, so that it may replace them.
runHook postHook

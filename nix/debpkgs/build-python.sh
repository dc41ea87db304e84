# The phases of buildPythonPackage (python.nix), read by setup.sh before they run.
#
# In PATH is the python3 of an environment with the build system, `build`, `installer`, the dependencies and
# what checks need. $runtime is an environment of the dependencies alone: what programs run in.

buildPhase() {
  runHook preBuild
  python3 -m build --no-isolation --skip-dependency-check --wheel --outdir dist
  runHook postBuild
}

installPhase() {
  runHook preInstall
  # Byte code of another time stamp would never be used: it is made below.
  python3 -m installer --prefix "$out" --no-compile-bytecode dist/*.whl
  PYTHONHASHSEED=0 python3 -m compileall -q -f --invalidation-mode unchecked-hash "$out/$sitePackages"
  local program
  for program in "$out"/bin/*; do
    if [ -f "$program" ] && [[ $(head -n 1 "$program") == '#!'*python* ]]; then
      {
        echo "#!$runtime/bin/python3"
        echo "import site; site.addsitedir('$out/$sitePackages')"
        tail -n +2 "$program"
      } > "$NIX_BUILD_TOP/.program"
      cat "$NIX_BUILD_TOP/.program" > "$program"
      if [ -n "$makeWrapperArgs" ]; then wrapProgram "$program" $makeWrapperArgs; fi
    fi
  done
  runHook postInstall
  export PYTHONPATH=$out/$sitePackages
  local module
  for module in $pythonImportsCheck; do
    "$runtime/bin/python3" -c "import $module"
  done
}

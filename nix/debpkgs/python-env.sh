# Make $out a Python environment: a virtual environment of links, so that Python itself knows what to do.
#
# https://docs.python.org/3/library/site.html: beside a link to the interpreter, pyvenv.cfg makes $out the
# prefix, and $out/$sitePackages the one place that packages are looked for.
mkdir -p "$out/bin" "$out/$sitePackages"
cat > "$out/pyvenv.cfg" << END
home = $python/bin
include-system-site-packages = false
END
for program in "$python"/bin/python3*; do ln -s "$program" "$out/bin/"; done
ln -s python3 "$out/bin/python"

merge() { # merge FROM INTO: links, going into directories that two packages have
  local entry target inside
  for entry in "$1"/* "$1"/.[!.]*; do
    target=$2/${entry##*/}
    if [ ! -e "$entry" ]; then continue; fi
    if [ ! -e "$target" ]; then
      ln -s "$entry" "$target"
    elif [ -d "$entry" ] && [ -d "$target" ]; then
      if [ -L "$target" ]; then
        inside=$(readlink "$target")
        rm "$target"
        mkdir "$target"
        merge "$inside" "$target"
      fi
      merge "$entry" "$target"
    fi
  done
}

for package in $packages; do
  if [ -d "$package/$sitePackages" ]; then merge "$package/$sitePackages" "$out/$sitePackages"; fi
  for program in "$package"/bin/*; do
    if [ ! -f "$program" ] || [ -e "$out/bin/${program##*/}" ]; then continue; fi
    IFS= read -r line < "$program" || true
    if [[ $line == "#!$python/bin/python"* ]]; then
      { echo "#!$out/bin/python3"; tail -n +2 "$program"; } > "$out/bin/${program##*/}"
      chmod +x "$out/bin/${program##*/}"
    else
      ln -s "$program" "$out/bin/"
    fi
  done
done

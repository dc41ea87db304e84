# What pynixify asks of a source, as files: what it needs, and what it says of itself.
#
# pynixify's own expression for that runs a setup.py by a setuptools with a patch, which is for
# older ones than nixpkgs has. This one reads pyproject.toml, and takes the place of the other.
{
  # The directory of a project; or the source of a package of nixpkgs, which needs what it needs
  # there.
  file,
  pkgs ? import <nixpkgs> { },
}:
let
  isPackaged = pkgs.lib.hasPrefix builtins.storeDir (toString file);

  document =
    if isPackaged then { } else builtins.fromTOML (builtins.readFile (file + "/pyproject.toml"));
  project = document.project or { };

  lines = builtins.concatStringsSep "\n";
in
pkgs.runCommandLocal "requirements"
  {
    install = lines (project.dependencies or [ ]);
    metadata = builtins.toJSON {
      description = project.description or null;
      license = null;
      url = project.urls.Homepage or null;
      version = project.version or null;
    };
    setup = lines (document.build-system.requires or [ ]);
  }
  ''
    mkdir $out
    printf %s "$setup" > $out/setup_requires.txt
    printf %s "$install" > $out/install_requires.txt
    printf %s "$metadata" > $out/meta.json
    touch $out/tests_requires.txt
  ''

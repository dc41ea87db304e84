# An image at one point of its life, for updates.py: what `changed` names has another hash.
{
  debpkgs,
  suite,
  application,
  extra,
}:
let
  pkgs = import debpkgs { inherit suite; };
  inherit ((import <nixbridge> { inherit pkgs; }).nix2container) buildImage;

  data = pkgs.writeTextDir "share/shop/data" (builtins.toString application);
  program = pkgs.writeShellScriptBin "shop" ''
    exec ${pkgs.python3}/bin/python3 -m http.server --directory ${data}/share/shop
  '';
  packages = [
    program
  ]
  ++ map (name: pkgs.${name}) (
    [
      "bash"
      "coreutils"
      "curl"
      "git"
      "gnugrep"
      "gnused"
      "gnutar"
      "gzip"
      "less"
      "openssh"
      "python3"
      "sqlite"
    ]
    ++ extra
  );
in
buildImage {
  name = "shop";
  tag = "latest";
  maxLayers = 127;
  config = {
    entrypoint = [ "${program}/bin/shop" ];
    env = [ "PATH=${pkgs.lib.makeBinPath packages}" ];
  };
}

# imageFromSpec: the image that a nixbridge.toml stands for, for a flake that has one.
#
#   imageFromSpec ./nixbridge.toml { tag = "1.4"; }
#
# The plan that the spec names, if any, lies where the spec says.
#
# The spec is rendered by a build and the result imported, so that no rendered file need be kept
# beside the spec. Where packages come from is said by `pkgs`, not by the spec.
{
  pkgs,
  nixbridge,
  # Those of default.nix.
  functions,
}:
spec: arguments:
let
  expression =
    pkgs.buildPackages.runCommandLocal "image.nix" { nativeBuildInputs = [ nixbridge ]; }
      ''
        cp ${spec} nixbridge.toml
        nixbridge render nixbridge.toml > $out
      '';
  plan = (builtins.fromTOML (builtins.readFile spec)).layering.plan or null;
in
import expression (
  {
    inherit pkgs;
    nix2container = functions;
  }
  // pkgs.lib.optionalAttrs (plan != null) {
    plan = if pkgs.lib.hasPrefix "/" plan then /. + plan else dirOf spec + "/${plan}";
  }
  // arguments
)

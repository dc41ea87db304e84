# Systems by family.
{ ... }:
rec {
  linux = [
    "aarch64-linux"
    "x86_64-linux"
  ];
  darwin = [
    "aarch64-darwin"
    "x86_64-darwin"
  ];
  unix = linux ++ darwin;
  all = unix;
  none = [ ];
}

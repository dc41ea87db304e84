# Version numbers by their parts.
{ lib }:
rec {
  splitVersion = builtins.splitVersion;
  major = version: builtins.elemAt (splitVersion version) 0;
  minor = version: builtins.elemAt (splitVersion version) 1;
  patch = version: builtins.elemAt (splitVersion version) 2;
  majorMinor = version: lib.concatStringsSep "." (lib.take 2 (splitVersion version));
  pad =
    count: version:
    let
      numbers = lib.head (lib.splitString "-" version);
      parts = lib.take count (splitVersion numbers ++ lib.replicate count "0");
    in
    lib.concatStringsSep "." parts + lib.removePrefix numbers version;
}

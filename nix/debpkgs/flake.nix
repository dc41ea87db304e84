{
  description = "A package set shaped like nixpkgs, made from Debian's packages";

  outputs =
    { self }:
    let
      system = "x86_64-linux";
      trixie = import ./. { inherit system; };
      bookworm = import ./. {
        inherit system;
        suite = "bookworm";
      };
    in
    {
      lib = import ./lib;

      # `nix build DIR#hello` is trixie's; the other suite is `nix build DIR#bookworm.hello`.
      legacyPackages.${system} = trixie // {
        inherit bookworm trixie;
      };
    };
}

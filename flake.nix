{
  description = "Container images from Nix closures";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.11";
    pynixify = {
      url = "github:cript0nauta/pynixify";
      flake = false;
    };
  };

  # Only wires: what is in an output is in nix/.
  outputs =
    {
      self,
      nixpkgs,
      pynixify,
    }:
    let
      inherit (nixpkgs) lib;

      linux = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      darwin = [
        "x86_64-darwin"
        "aarch64-darwin"
      ];

      # Of these systems, those that nixpkgs has: a set put in its place may have fewer.
      forEach =
        systems: function:
        lib.genAttrs (builtins.filter (system: nixpkgs.legacyPackages ? ${system}) systems) (
          system: function nixpkgs.legacyPackages.${system}
        );

      functions = pkgs: import ./nix { inherit pkgs; };

      # Who runs it, and whose images are delivered by it, does not wait for our tests.
      nixbridge =
        pkgs:
        import ./nix/nixbridge.nix {
          inherit pkgs;
          doCheck = false;
        };

      dockerImage =
        pkgs:
        import ./nix/docker.nix {
          inherit pkgs;
          nix2container = functions pkgs;
        };

      # Null where the set has not what pynixify needs.
      pynixifyFor =
        pkgs:
        import ./nix/pynixify.nix {
          inherit pkgs;
          nixpkgs = nixpkgs.outPath;
          source = pynixify;
        };

      app = program: {
        type = "app";
        program = lib.getExe program;
        meta.description = program.meta.description or "A program of nixbridge";
      };
    in
    {
      lib = functions;

      overlays.default = final: _: { nixbridge = nixbridge final; };

      templates.default = {
        path = ./templates/flake;
        description = "A container image from a nixbridge.toml";
        welcomeText = ''
          Say in `nixbridge.toml` what is to be in the image, then:

              nix run .#image -- oci:out
        '';
      };

      packages = forEach (linux ++ darwin) (
        pkgs:
        {
          default = nixbridge pkgs;
        }
        // lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux { dockerImage = dockerImage pkgs; }
      );

      apps = forEach (linux ++ darwin) (
        pkgs:
        {
          default = app (nixbridge pkgs);
        }
        // lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux {
          dockerImage = app (dockerImage pkgs).run;
        }
        // lib.optionalAttrs (pynixifyFor pkgs != null) { pynixify = app (pynixifyFor pkgs); }
      );

      devShells = forEach linux (pkgs: {
        default = import ./nix/devshell.nix {
          inherit pkgs;
          pynixify = pynixifyFor pkgs;
        };
      });

      checks = forEach linux (pkgs: {
        # With the tests that need no Nix.
        nixbridge = import ./nix/nixbridge.nix { inherit pkgs; };
        dockerImage = dockerImage pkgs;
        docker-nix = import ./nix/check-docker-nix.nix {
          inherit pkgs;
          inherit (functions pkgs) nixbridge;
        };
      });

      formatter = lib.mapAttrs (_: pkgs: pkgs.nixfmt-tree) (
        lib.filterAttrs (_: pkgs: pkgs ? nixfmt-tree) (forEach (linux ++ darwin) (pkgs: pkgs))
      );
    };
}

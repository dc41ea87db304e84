# One image for each thing that buildImage and buildLayer do; named as the tests name them.
let
  pkgs = import ../../nix/debpkgs { };
  inherit ((import ../../nix { inherit pkgs; }).nix2container) buildLayer;
  image =
    arguments:
    (import ../../nix { inherit pkgs; }).buildImage (
      {
        name = "a";
        tag = "test";
      }
      // arguments
    );

  hello = "${pkgs.hello}/bin/hello";
  programs =
    name: paths:
    pkgs.buildEnv {
      inherit name paths;
      pathsToLink = [ "/bin" ];
    };
  tree = name: commands: pkgs.runCommand name { } commands;
  twoFiles = tree "two-files" ''
    mkdir -p $out/data
    touch $out/data/one $out/data/two
  '';
in
{
  closure = image { config.Entrypoint = [ hello ]; };

  script = image {
    config.entrypoint = [
      "${pkgs.bash}/bin/bash"
      (pkgs.writeScript "talk" ''
        ${hello} --greeting=before
        echo after
      '')
    ];
    layers = [
      (buildLayer {
        deps = [
          pkgs.bash
          pkgs.hello
        ];
      })
    ];
  };

  programsAtRoot = image {
    copyToRoot = [
      (programs "root" [
        pkgs.bashInteractive
        pkgs.coreutils
      ])
    ];
    config.Cmd = [ "/bin/bash" ];
  };

  severalAtRoot = image {
    copyToRoot = [
      pkgs.hello
      pkgs.bash
    ];
    config.entrypoint = [
      "/bin/bash"
      "-c"
      "/bin/hello"
    ];
  };

  layered = image {
    config.entrypoint = [ hello ];
    maxLayers = 3;
  };

  nested = image {
    config.entrypoint = [
      "/bin/bash"
      "-c"
      hello
    ];
    layers = [
      (buildLayer {
        deps = [ pkgs.bashInteractive ];
        copyToRoot = programs "root" [ pkgs.bashInteractive ];
        layers = [
          (buildLayer { deps = [ pkgs.readline ]; })
          (buildLayer { deps = [ pkgs.zlib ]; })
        ];
      })
    ];
  };

  duplicated = image {
    config.entrypoint = [ hello ];
    layers = [
      (buildLayer {
        layers = [
          (buildLayer { deps = [ pkgs.readline ]; })
          (buildLayer { deps = [ pkgs.readline ]; })
        ];
      })
    ];
  };

  metadata = image {
    created = "2024-05-13T09:31:10Z";
    config.entrypoint = [ hello ];
    layers = [
      (buildLayer {
        deps = [ pkgs.glibc ];
        metadata = {
          created = "2020-01-01T00:00:00Z";
          created_by = "a test";
          author = "an author";
          comment = "a comment";
        };
      })
      (buildLayer {
        deps = [ pkgs.zlib ];
        metadata = { };
      })
    ];
  };

  irreproducible =
    let
      random = tree "random" "cat /proc/sys/kernel/random/uuid > $out";
    in
    image {
      config.entrypoint = [
        "${pkgs.coreutils}/bin/cat"
        random
      ];
      layers = [
        (buildLayer {
          deps = [ random ];
          reproducible = false;
        })
      ];
    };

  ignored = image {
    layers = [
      (buildLayer {
        deps = [ pkgs.hello ];
        ignore = pkgs.glibc;
      })
    ];
  };

  everybodys =
    let
      open = tree "open" "mkdir -p $out/tmp/below";
    in
    image {
      copyToRoot = [ open ];
      perms = [
        {
          path = open;
          regex = ".*";
          mode = "0777";
        }
      ];
    };

  oneFilesMode = image {
    copyToRoot = [ twoFiles ];
    perms = [
      {
        path = twoFiles;
        regex = "/data/one$";
        mode = "0640";
      }
    ];
  };

  oneFilesOwner = image {
    copyToRoot = [ twoFiles ];
    perms = [
      {
        path = twoFiles;
        regex = "/data/one";
        uid = 1001;
        gid = 1002;
        uname = "me";
        gname = "us";
      }
    ];
  };

  withNix = image {
    initializeNixDatabase = true;
    copyToRoot = programs "root" [
      pkgs.bash
      pkgs.coreutils
      pkgs.nix
    ];
    config.Env = [
      "USER=nobody"
      "HOME=/"
    ];
    layers = [ (buildLayer { deps = [ pkgs.hello ]; }) ];
    maxLayers = 2;
  };

  withNixForAUser =
    let
      user = tree "user" ''
        mkdir -p $out/etc $out/home/me $out/tmp
        echo "me:x:1000:1000::/home/me:/bin/sh" > $out/etc/passwd
        echo "me:x:1000:" > $out/etc/group
      '';
    in
    image {
      initializeNixDatabase = true;
      nixUid = 1000;
      nixGid = 1000;
      copyToRoot = [
        (programs "root" [
          pkgs.bash
          pkgs.coreutils
          pkgs.nix
        ])
        user
      ];
      perms = [
        {
          path = user;
          regex = "/home/me$";
          mode = "0755";
          uid = 1000;
          gid = 1000;
        }
        {
          path = user;
          regex = "/tmp$";
          mode = "1777";
        }
      ];
      config = {
        User = "me";
        WorkingDir = "/home/me";
        Env = [
          "HOME=/home/me"
          "USER=me"
        ];
      };
    };

  # What cannot be.

  twoFilesOnOneName = image {
    copyToRoot = [
      (pkgs.writeTextDir "etc/name" "one")
      (pkgs.writeTextDir "etc/name" "another")
    ];
  };

  wrongArgument = image { maxLayer = 1; };
  wrongArgumentOfALayer = image { layers = [ (buildLayer { dep = [ ]; }) ]; };
  outsideTheStore = image { copyToRoot = "/etc"; };
  wrongName = image { name = "an app"; };
  wrongKey = image { config.Entrypiont = [ ]; };

  permsForNothing = image {
    perms = [
      {
        path = pkgs.hello;
        mode = "0777";
      }
    ];
  };
}

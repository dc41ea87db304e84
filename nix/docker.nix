# A container image with Nix inside, for root to build with; git and a shell are at hand.
#
# nixbridge has made this file from a spec. It may be kept and edited, and delivered itself:
#
#   nixbridge copy docker.nix oci:out
{
  # Where all programs come from.
  pkgs ? import <nixbridge/debpkgs> { suite = "trixie"; },
  # What describes the image; nix2container's functions fit, too.
  nix2container ? import <nixbridge> { inherit pkgs; },
  lib ? pkgs.lib,
  name ? "nixbridge-nix",
  tag ? "latest",
  # Whether the source of `pkgs` is in the image, as root's channel.
  bundleNixpkgs ? true,
  # The channel that `nix-channel --update` fetches.
  channelName ? "nixpkgs",
  channelURL ? "https://channels.nixos.org/nixpkgs-unstable",
  # Packages to have in root's profile besides those below.
  extraPkgs ? [ ],
  # The most layers for whatever is not in a layer of its own.
  maxLayers ? 100,
  # More lines of nix.conf: a string, a list of strings, a number or a truth value each.
  nixConf ? { },
  # A registry of flakes, or a directory that holds `flake-registry.json`.
  flake-registry ? null,
  # The commit of what is in the image, if it is known; `lixRevision` is an older name.
  lixRevision ? null,
  revision ? lixRevision,
}:
let
  # Layers of their own, from bottom to top: first what most else refers to, then what changes
  # seldom or is large, so that an update of Nix sends little.
  explicitLayers = [
    [ pkgs.coreutils-full ]
    [
      pkgs.curl
      pkgs.libxml2
      pkgs.sqlite
    ]
    [ pkgs.gitMinimal ]
  ];

  # In the profile as well; how they become layers is left to the plan.
  otherPackages = [
    pkgs.bashInteractive
    pkgs.gnutar
    pkgs.gzip
    pkgs.gnugrep
    pkgs.which
    pkgs.less
    pkgs.wget
    pkgs.man
    pkgs.cacert.out
    pkgs.findutils
    pkgs.iana-etc
    pkgs.openssh
    pkgs.nix
  ];

  profilePackages = lib.concatLists explicitLayers ++ otherPackages ++ extraPkgs;

  # One line for each attribute.
  linesOf =
    toLine: set: lib.concatStrings (lib.mapAttrsToList (key: value: toLine key value + "\n") set);

  # The users whom the Nix daemon builds as.
  buildUsers = lib.listToAttrs (
    map (number: {
      name = "nixbld${toString number}";
      value = {
        uid = 30000 + number;
        gid = groups.nixbld.gid;
        description = "Nix build user ${toString number}";
        home = "/var/empty";
        shell = "/bin/false";
      };
    }) (lib.range 1 32)
  );

  users = buildUsers // {
    root = {
      uid = 0;
      gid = groups.root.gid;
      description = "System administrator";
      home = "/root";
      shell = "${pkgs.bashInteractive}/bin/bash";
    };
    nobody = {
      uid = 65534;
      gid = groups.nobody.gid;
      description = "Unprivileged account (don't use!)";
      home = "/var/empty";
      shell = "${pkgs.shadow}/bin/nologin";
    };
  };

  groups = {
    root = {
      gid = 0;
      members = [ "root" ];
    };
    nixbld = {
      gid = 30000;
      members = lib.attrNames buildUsers;
    };
    nobody = {
      gid = 65534;
      members = [ "nobody" ];
    };
  };

  passwd = linesOf (
    name: user:
    lib.concatStringsSep ":" [
      name
      "x"
      (toString user.uid)
      (toString user.gid)
      user.description
      user.home
      user.shell
    ]
  ) users;

  # No password fits `!`; it was last changed on the first day there is.
  shadow = linesOf (name: _: "${name}:!:1::::::") users;

  group = linesOf (
    name: { gid, members }: "${name}:x:${toString gid}:${lib.concatStringsSep "," members}"
  ) groups;

  nixConfLine =
    key: value:
    let
      text =
        if lib.isList value then
          lib.concatStringsSep " " value
        else if lib.isBool value then
          lib.boolToString value
        else
          toString value;
    in
    "${key} = ${text}";

  nixConfText = linesOf nixConfLine (
    {
      build-users-group = "nixbld";
      # A container may not make the namespaces that the sandbox is made of.
      sandbox = false;
      trusted-public-keys = [ "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=" ];
    }
    // nixConf
  );

  nixpkgs =
    if builtins.isPath pkgs.path then
      # The name that fetchers give it: what is in the store already is not copied again.
      builtins.path {
        name = "source";
        inherit (pkgs) path;
      }
    else
      pkgs.path;

  # What `nix-channel --update` would make; without nixpkgs it is a place for it.
  channel = pkgs.buildPackages.runCommand "channel-nixpkgs" { } ''
    mkdir $out
    ${lib.optionalString bundleNixpkgs ''
      ln -s ${nixpkgs} $out/nixpkgs
      echo "[]" > $out/manifest.nix
    ''}
  '';

  # What `nix-env` reads to know what is installed: an expression, one element for each package.
  manifestEntry =
    package:
    let
      outputs = package.meta.outputsToInstall or [ "out" ];
      quoted = map (output: "\"${output}\"") outputs;
      outPath = output: "  ${output}.outPath = \"${package.${output} or package}\";\n";
    in
    ''
      {
        meta = { };
        name = "${package.name}";
        outPath = "${package}";
        outputs = [ ${lib.concatStringsSep " " quoted} ];
        system = "${package.system}";
        type = "derivation";
      ${lib.concatMapStrings outPath outputs}}
    '';

  manifest = pkgs.buildPackages.writeText "manifest.nix" ''
    [
    ${lib.concatMapStrings manifestEntry profilePackages}]
  '';

  rootEnv = pkgs.buildPackages.buildEnv {
    name = "root-profile-env";
    paths = profilePackages;
  };

  # The first generation of root's profile, as `nix-env --install` makes one.
  profile = pkgs.buildPackages.runCommand "user-environment" { } ''
    mkdir $out
    cp -a ${rootEnv}/* $out/
    ln -sf ${manifest} $out/manifest.nix
  '';

  files = {
    "etc/passwd" = passwd;
    "etc/group" = group;
    "etc/shadow" = shadow;
    "etc/nix/nix.conf" = nixConfText;
    "root/.nix-channels" = "${channelURL} ${channelName}\n";
  };

  links = {
    "bin/sh" = "${pkgs.bashInteractive}/bin/bash";
    "usr/bin/env" = "${pkgs.coreutils}/bin/env";
    "usr/share" = "/nix/var/nix/profiles/share";
    "etc/ssl/certs/ca-bundle.crt" = "/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt";
    "root/.nix-profile" = "/nix/var/nix/profiles/default";
    "root/.nix-defexpr/channels" = "/nix/var/nix/profiles/per-user/root/channels";
    "nix/var/nix/profiles/default" = "/nix/var/nix/profiles/default-1-link";
    "nix/var/nix/profiles/default-1-link" = "${profile}";
    "nix/var/nix/profiles/per-user/root/channels" =
      "/nix/var/nix/profiles/per-user/root/channels-1-link";
    "nix/var/nix/profiles/per-user/root/channels-1-link" = "${channel}";
    "nix/var/nix/gcroots/profiles" = "/nix/var/nix/profiles";
  };

  # Everything at the root of the image, but for what the Nix database adds.
  baseSystem = pkgs.buildPackages.runCommand "base-system" { } ''
    mkdir -p $out/tmp $out/var/tmp
    cd $out
    ${lib.concatStrings (
      lib.mapAttrsToList (path: text: ''
        mkdir -p ${lib.escapeShellArg (dirOf path)}
        printf %s ${lib.escapeShellArg text} > ${lib.escapeShellArg path}
      '') files
    )}
    ${lib.concatStrings (
      lib.mapAttrsToList (path: target: ''
        mkdir -p ${lib.escapeShellArg (dirOf path)}
        ln -s ${lib.escapeShellArg target} ${lib.escapeShellArg path}
      '') links
    )}
    ${lib.optionalString (flake-registry != null) ''
      registry=${flake-registry}
      if [ -d "$registry" ]; then registry=$registry/flake-registry.json; fi
      mkdir -p root/.cache/nix nix/var/nix/gcroots/auto
      ln -s "$registry" root/.cache/nix/flake-registry.json
      # Nix names an automatic root by the hash of its path: sha1, in Nix's base 32.
      ln -s /root/.cache/nix/flake-registry.json \
        nix/var/nix/gcroots/auto/2m8wm8j83xbdp2b6wmrgd0bgy8qd4r75
    ''}
  '';

  # A layer leaves out what those before it hold.
  layers = lib.foldl' (
    below: deps:
    below
    ++ [
      (nix2container.buildLayer {
        inherit deps;
        layers = below;
      })
    ]
  ) [ ] (explicitLayers ++ [ [ channel ] ]);
in
nix2container.buildImage {
  inherit
    name
    tag
    layers
    maxLayers
    ;

  copyToRoot = [ baseSystem ];
  initializeNixDatabase = true;

  # The store cannot hold the sticky bit.
  perms = [
    {
      path = baseSystem;
      regex = "(/var)?/tmp";
      mode = "1777";
    }
  ];

  config = {
    Cmd = [ "/root/.nix-profile/bin/bash" ];
    Env = [
      "USER=root"
      "PATH=/root/.nix-profile/bin:/nix/var/nix/profiles/default/bin:/nix/var/nix/profiles/default/sbin"
      "MANPATH=/root/.nix-profile/share/man:/nix/var/nix/profiles/default/share/man"
      "SSL_CERT_FILE=/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt"
      "GIT_SSL_CAINFO=/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt"
      "NIX_SSL_CERT_FILE=/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt"
      "NIX_PATH=/nix/var/nix/profiles/per-user/root/channels:/root/.nix-defexpr/channels"
    ];
    Labels = {
      "org.opencontainers.image.version" = pkgs.nix.version;
    }
    // lib.optionalAttrs (revision != null) { "org.opencontainers.image.revision" = revision; }
    // {
      "org.opencontainers.image.title" = "Nix";
      "org.opencontainers.image.description" = "Nix with git and a shell, for building in a container";
      "org.opencontainers.image.vendor" = "nixbridge";
    };
  };

  meta.description = "Nix with git and a shell, for building in a container";
}

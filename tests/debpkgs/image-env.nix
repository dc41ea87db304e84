# What the tests run programs of: the packages of Lix's docker.nix and the examples, and Python.
{ pkgs }:
rec {
  env = pkgs.buildEnv {
    name = "image-env";
    paths = with pkgs; [
      bashInteractive
      bubblewrap
      bzip2
      cacert.out
      coreutils-full
      curl
      diffutils
      file
      findutils
      gawk
      git
      glibc.bin
      gnugrep
      gnumake
      gnused
      gnutar
      gzip
      hello
      iana-etc
      jq
      less
      libxml2
      man
      ncurses
      nginx
      nix
      openssh
      openssl
      patch
      patchelf
      perl
      procps
      python3
      shadow
      skopeo
      sqlite
      strace
      tzdata
      util-linux
      wget
      which
      xz
      zstd
    ];
  };
  python = pkgs.python3.withPackages (
    packages: with packages; [
      build
      hatchling
      httpx
      hypothesis
      jinja2
      mypy
      pytest
      typer
      zstandard
    ]
  );
  closure = pkgs.closureInfo {
    rootPaths = [
      env
      python
    ];
  };
}

# nixpkgs' names for units (packages.toml says which), and the few packages put together here.
{
  lib,
  lock,
  spec,
}:
final: _:
let
  inherit (final) units;

  named =
    name: entry:
    let
      candidates = lib.toList (entry.unit or name);
      absent = throw "debpkgs: the lock of ${lock.suite} has no `${name}`";
      unit = lib.findFirst (candidate: units ? ${candidate}) absent candidates;
    in
    withMeta (lib.optionalAttrs (entry ? program) { mainProgram = entry.program; }) units.${unit};

  withMeta =
    meta: package:
    let
      self = package // {
        meta = package.meta // meta;
        out = self // {
          outputSpecified = true;
        };
      };
    in
    self;

  packages = lib.mapAttrs named spec.packages;
in
packages
// {
  buildPackages = final;
  targetPackages = final;
  glibc = packages.glibc // {
    bin = units.libc-bin;
  };
  glibcBin = units.libc-bin;
  libgcc = packages.glibc;
  stdenvNoLibc = final.stdenv;

  # What nixpkgs keeps in an output of its own.
  cacert = packages.cacert // {
    unbundled = packages.cacert;
  };

  dockerTools = {
    fakeNss = final.fakeNss;
    binSh = final.runCommandLocal "bin-sh" { } ''
      mkdir -p $out/bin
      ln -s ${final.bashInteractive}/bin/bash $out/bin/sh
    '';
    usrBinEnv = final.runCommandLocal "usr-bin-env" { } ''
      mkdir -p $out/usr/bin
      ln -s ${final.coreutils}/bin/env $out/usr/bin/env
    '';
    caCertificates = final.runCommandLocal "ca-certificates" { } ''
      mkdir -p $out/etc/ssl/certs $out/etc/pki/tls/certs
      for path in ssl/certs/ca-bundle.crt ssl/certs/ca-certificates.crt pki/tls/certs/ca-bundle.crt; do
        ln -s ${final.cacert}/etc/ssl/certs/ca-bundle.crt $out/etc/$path
      done
    '';
  };

  # Users root and nobody, for programs that ask who they are.
  fakeNss = final.symlinkJoin {
    name = "fake-nss";
    paths = [
      (final.writeTextDir "etc/passwd" ''
        root:x:0:0:root user:/var/empty:/bin/sh
        nobody:x:65534:65534:nobody:/var/empty:/bin/sh
      '')
      (final.writeTextDir "etc/group" ''
        root:x:0:
        nobody:x:65534:
      '')
      (final.writeTextDir "etc/nsswitch.conf" ''
        hosts: files dns
      '')
      (final.runCommandLocal "var-empty" { } ''
        mkdir -p $out/var/empty
      '')
    ];
  };
}

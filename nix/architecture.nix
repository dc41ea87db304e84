# Go's name (which is OCI's) of the processor that `hostPlatform` has.
#
# nixpkgs has it too, as `go.GOARCH`, but evaluating `go` for one word is slow, and other sets of
# nixpkgs' shape have no `go`.
hostPlatform:
let
  cpu = builtins.head (builtins.match "([^-]*).*" hostPlatform.system);
  architectures = {
    aarch64 = "arm64";
    armv5tel = "arm";
    armv6l = "arm";
    armv7a = "arm";
    armv7l = "arm";
    i686 = "386";
    loongarch64 = "loong64";
    mips64el = "mips64le";
    mipsel = "mipsle";
    powerpc64 = "ppc64";
    powerpc64le = "ppc64le";
    riscv64 = "riscv64";
    s390x = "s390x";
    x86_64 = "amd64";
  };
in
architectures.${cpu}
  or (throw "buildImage: no OCI architecture is known for `${hostPlatform.system}`; give `arch`")

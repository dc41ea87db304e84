# What is known about a system like "x86_64-linux".
{ lib }:
let
  # GOARCH is also the architecture's name in OCI images.
  cpus = {
    x86_64 = {
      bits = 64;
      goarch = "amd64";
      linuxArch = "x86_64";
    };
    aarch64 = {
      bits = 64;
      goarch = "arm64";
      linuxArch = "arm64";
    };
    i686 = {
      bits = 32;
      goarch = "386";
      linuxArch = "i386";
    };
    riscv64 = {
      bits = 64;
      goarch = "riscv64";
      linuxArch = "riscv";
    };
  };
in
rec {
  elaborate =
    description:
    let
      system = if lib.isString description then description else description.system;
      parts = lib.splitString "-" system;
      cpu = builtins.head parts;
      kernel = lib.last parts;
      known = cpus.${cpu} or (throw "lib.systems.elaborate: unknown system `${system}`");
    in
    {
      inherit system;
      config = "${cpu}-unknown-${kernel}" + lib.optionalString (kernel == "linux") "-gnu";
      inherit (known) linuxArch;
      go = {
        GOARCH = known.goarch;
        GOOS = kernel;
      };
      parsed = {
        cpu = {
          name = cpu;
          inherit (known) bits;
        };
        kernel.name = kernel;
      };
      is64bit = known.bits == 64;
      is32bit = known.bits == 32;
      isLinux = kernel == "linux";
      isDarwin = kernel == "darwin";
      isUnix = true;
      isGnu = kernel == "linux";
      isMusl = false;
      isStatic = false;
      isx86 = cpu == "x86_64" || cpu == "i686";
      isx86_64 = cpu == "x86_64";
      isAarch64 = cpu == "aarch64";
      isRiscV64 = cpu == "riscv64";
      extensions = {
        executable = "";
        library = ".so";
        sharedLibrary = ".so";
        staticLibrary = ".a";
      };
      canExecute = other: other.system == system;
      __toString = self: self.system;
    };

  flakeExposed = [ "x86_64-linux" ];
  examples = { };
  doubles = {
    inherit (lib.platforms) all darwin linux;
  };
  equals = a: b: a.system == b.system;
}

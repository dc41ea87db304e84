# How an image gets out of the store: programs for `nix run`, and an archive for a build service.
#
# All of them are the same `nixbridge copy` of the image's description. It does not ask nix: what
# the description names is in the store, because it refers to it. Each program hands on what it is
# called with: `nix run .#image.copyTo -- oci:out --json`.
#
# The attributes are nix2container's.
{
  pkgs,
  # The package of the command.
  nixbridge,
}:
{
  # What buildImage gives.
  image,
  imageName,
  imageTag,
}:
let
  inherit (pkgs) lib;

  program =
    name: description: text:
    pkgs.writeShellApplication {
      inherit name text;
      meta = {
        inherit description;
        mainProgram = name;
      };
    };

  copy = "${lib.getExe nixbridge} copy --no-nix ${image}";

  reference = lib.escapeShellArg "${imageName}:${imageTag}";
in
rec {
  copyTo = program "copy-to" "Copy the image ${imageName} to the destinations that are given" ''
    ${copy} "$@"
  '';

  copyToRegistry = program "copy-to-registry" "Push the image ${imageName} to its registry" ''
    ${copy} docker://${reference} "$@"
  '';

  copyToDockerDaemon = program "copy-to-docker-daemon" "Copy the image ${imageName} into Docker" ''
    ${copy} docker-daemon:${reference} "$@"
  '';

  copyToPodman = program "copy-to-podman" "Copy the image ${imageName} into podman" ''
    ${copy} containers-storage:${reference} "$@"
  '';

  # What `nix run .#image` does.
  run = program "run-image" "Copy the image ${imageName}, into an engine if need be" ''
    if [ $# -gt 0 ]; then
      exec ${copy} "$@"
    fi
    if [ ! -t 1 ]; then
      exec ${copy} -
    fi
    # A client whose daemon does not answer is no engine.
    if docker version >/dev/null 2>&1; then
      exec ${copy} docker-daemon:${reference}
    fi
    if podman version >/dev/null 2>&1; then
      exec ${copy} containers-storage:${reference}
    fi
    echo "error: no container engine answers here: neither docker nor podman" >&2
    echo "  hint: say where the image shall go: add \`-- oci:DIR\` or" >&2
    echo "        \`-- docker-archive:FILE\`, or send it to a program: \`nix run … | podman load\`" >&2
    exit 2
  '';

  # The image as a build product: a gzipped archive of `docker load`. The image in it has no name,
  # as in nix2container's archives: who publishes it names it. Compressed by one thread of gzip with
  # no time in its header, so that all who build it get the same bytes.
  tarball =
    pkgs.runCommand "docker-image-${baseNameOf imageName}"
      {
        nativeBuildInputs = [ pkgs.gzip ];
        meta.description = "The image ${imageName} as an archive";
      }
      ''
        set -o pipefail
        mkdir -p $out/nix-support
        ${copy} --no-cache docker-archive:-: | gzip -n > $out/image.tar.gz
        echo "file binary-dist $out/image.tar.gz" > $out/nix-support/hydra-build-products
      '';
}

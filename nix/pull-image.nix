# pullImage: an image from a registry, as a directory that `fromImage` takes.
#
# The arguments and the hash are nix2container's: the directory is what skopeo's `dir:` transport
# writes. Credentials are read from /etc/skopeo/auth.json where the build can see it; with a sandbox,
# say `extra-sandbox-paths = /etc/skopeo/auth.json=…`.
{ pkgs }:
let
  architecture = import ./architecture.nix;
in
{
  # `alpine`, `ghcr.io/me/app`
  imageName,
  # The digest of its manifest, `sha256:…`: `skopeo inspect docker://NAME:TAG` prints it.
  imageDigest,
  # The hash of the directory; leave it empty once, and Nix says it.
  sha256,
  # Which image, of one for several platforms.
  os ? "linux",
  arch ? architecture pkgs.stdenv.hostPlatform,
  # Whether the registry must have a certificate that is trusted.
  tlsVerify ? true,
  # The name of the store path.
  name ? builtins.replaceStrings [ "/" ":" ] [ "-" "-" ] "docker-image-${imageName}",
}:
pkgs.runCommand name
  {
    inherit imageDigest;
    impureEnvVars = pkgs.lib.fetchers.proxyImpureEnvVars;
    nativeBuildInputs = [ pkgs.buildPackages.skopeo ];
    SSL_CERT_FILE = "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt";
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
    outputHash = sha256;
  }
  ''
    # For what skopeo remembers of blobs.
    export HOME=$TMPDIR
    authentication=
    if [ -f /etc/skopeo/auth.json ]; then
      authentication="--authfile /etc/skopeo/auth.json"
    fi
    skopeo \
      --insecure-policy \
      --tmpdir="$TMPDIR" \
      --override-os=${os} \
      --override-arch=${arch} \
      copy $authentication --src-tls-verify=${if tlsVerify then "true" else "false"} \
      "docker://${imageName}@${imageDigest}" "dir:$out"
  ''

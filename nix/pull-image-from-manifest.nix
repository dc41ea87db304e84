# pullImageFromManifest: an image from a registry, each blob a store path of its own, named by the
# manifest that lies beside the expression. Images that share layers share store paths.
#
# The arguments are nix2container's. `getManifest` is a script that prints the manifest: run it to
# write `imageManifest` for the first time, and to update it.
{ pkgs }:
let
  architecture = import ./architecture.nix;
in
{
  # Without its registry: `library/alpine`
  imageName,
  # The file with the manifest. It alone says what is pulled; what stands below says where from, and
  # what getManifest prints.
  imageManifest ? null,
  imageTag ? "latest",
  os ? "linux",
  arch ? architecture pkgs.stdenv.hostPlatform,
  tlsVerify ? true,
  registryUrl ? "registry-1.docker.io",
}:
let
  url = "docker://${registryUrl}/${imageName}";
  tls = "--tls-verify=${if tlsVerify then "true" else "false"}";

  manifest =
    if imageManifest == null then
      throw "pullImageFromManifest: `imageManifest` is missing for `${imageName}`; run its `getManifest` to write it"
    else
      let
        document = builtins.fromJSON (builtins.readFile imageManifest);
      in
      if document ? config && document ? layers then
        document
      else
        throw "pullImageFromManifest: `${toString imageManifest}` is not the manifest of one image; run `getManifest` to write it";

  digits = digest: builtins.substring 7 (-1) digest;

  blob =
    digest:
    pkgs.runCommand (digits digest)
      {
        impureEnvVars = pkgs.lib.fetchers.proxyImpureEnvVars;
        nativeBuildInputs = [ pkgs.buildPackages.skopeo ];
        SSL_CERT_FILE = "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt";
        outputHashMode = "flat";
        outputHashAlgo = "sha256";
        outputHash = digits digest;
      }
      ''
        # For what skopeo remembers of blobs.
        export HOME=$TMPDIR
        authentication=
        if [ -f /etc/skopeo/auth.json ]; then
          authentication="--authfile /etc/skopeo/auth.json"
        fi
        # It makes a directory here that holds the one blob.
        skopeo --insecure-policy --tmpdir="$TMPDIR" \
          layers $authentication ${tls} "${url}:${imageTag}" ${digest}
        mv layers-*/${digits digest} "$out"
      '';

  blobs = map blob (
    builtins.attrNames (
      builtins.listToAttrs (
        map (descriptor: {
          name = descriptor.digest;
          value = null;
        }) ([ manifest.config ] ++ manifest.layers)
      )
    )
  );

  getManifest = pkgs.writeShellApplication {
    name = "get-manifest";
    runtimeInputs = [
      pkgs.jq
      pkgs.skopeo
    ];
    text = ''
      manifest=$(skopeo inspect --raw ${tls} "${url}:${imageTag}")
      # Of an image for several platforms, the one for ours. One with a variant (`arm/v7`) is another.
      digest=$(jq --raw-output '
        .manifests[]? | select(.platform == { os: "${os}", architecture: "${arch}" }) | .digest
      ' <<< "$manifest")
      if jq --exit-status 'has("manifests")' <<< "$manifest" > /dev/null; then
        if [ -z "$digest" ]; then
          echo "${imageName}:${imageTag} is not there for ${os}/${arch}" >&2
          exit 1
        fi
        skopeo inspect --raw ${tls} "${url}@$digest"
      else
        printf %s "$manifest"
      fi
    '';
  };
in
# The layout of skopeo's `dir:` transport, as pullImage makes it, but of links.
pkgs.runCommandLocal "docker-image-${builtins.replaceStrings [ "/" ":" ] [ "-" "-" ] imageName}"
  {
    passthru = { inherit getManifest; };
    inherit blobs;
    # Not the file itself, whose name Nix may not like.
    manifest = builtins.readFile imageManifest;
    passAsFile = [ "manifest" ];
  }
  ''
    mkdir "$out"
    cp "$manifestPath" "$out/manifest.json"
    printf 'Directory Transport Version: 1.1\n' > "$out/version"
    for blob in $blobs; do
      ln -s "$blob" "$out/''${blob##*-}"
    done
  ''

# buildImage: the description of an image, one JSON file that refers to all it describes.
#
# Its shape is version 3 of the image description: `nixbridge/description/` reads it.
{
  pkgs,
  # deliver.nix, called with its packages.
  deliver,
  # What `maxLayers` and `strategy` are when nobody says.
  defaults,
}:
let
  architecture = import ./architecture.nix;
  describeLayer = import ./describe-layer.nix;
  describeWeights = import ./describe-weights.nix;
  flattenLayers = import ./flatten-layers.nix;
  inherit (import ./image-name.nix) checkName checkTag;
  describePlan = import ./describe-plan.nix;
  storePath = import ./store-path.nix;
  imageConfig = import ./image-config.nix { inherit (pkgs.lib) toLower; };
in
{
  # The image's name: `app`, or with a registry `ghcr.io/me/app`.
  name,
  # Its tag; when null, the hash part of the description's store path.
  tag ? null,
  # What the image runs, in the words of the OCI image specification.
  config ? { },
  # Annotations of the image's manifest.
  annotations ? { },
  # Layers made by buildLayer, from bottom to top. The image's own layer comes on top of them and
  # does not repeat what they hold.
  layers ? [ ],
  # Store paths whose files are put at `/`; one, or a list.
  copyToRoot ? null,
  # The deprecated name of `copyToRoot`.
  contents ? null,
  # An image to build upon: what pullImage, pullImageFromManifest or buildImage give, an OCI layout,
  # an archive of `docker save`. Its config is taken over as `docker build` does it.
  fromImage ? null,
  # The image's architecture, in Go's words; when null, that of `pkgs`.
  arch ? null,
  # Modes and owners of files in `copyToRoot` or any other path, as in buildLayer.
  perms ? [ ],
  # The most layers that the image's own paths may be split into; below 1 there is no limit.
  maxLayers ? defaults.maxLayers,
  # How they are split: `nixbridge doctor` lists the strategies.
  strategy ? defaults.strategy,
  # Names of store paths that change often by themselves, as patterns: [ "my-app*" ].
  volatile ? [ ],
  # The same in numbers: how often they do, where others do once: { "my-app*" = 20; }. Of several
  # patterns that fit, the longest counts.
  weights ? { },
  # A file that `nixbridge plan --save` wrote, whose layers the image has, as far as it has their
  # packages. It comes before `strategy`, which groups what the plan does not have.
  plan ? null,
  # Whether the image has a Nix database of its store paths, for running Nix inside.
  initializeNixDatabase ? false,
  # The owner of that database, and of /nix.
  nixUid ? 0,
  nixGid ? 0,
  # When the image was created.
  created ? "0001-01-01T00:00:00Z",
  meta ? { },
}:
let
  typed =
    name: type: value:
    if builtins.typeOf value == type then
      value
    else
      throw "buildImage: `${name}` is ${builtins.typeOf value}, not ${type}";

  # Registries accept no capitals; nix2container lowers them too.
  imageName = checkName (pkgs.lib.toLower (typed "name" "string" name));

  ownLayer = describeLayer {
    caller = "buildImage";
    deps = [ ];
    ignore = null;
    reproducible = true;
    metadata.created_by = "nixbridge";
    inherit
      copyToRoot
      contents
      perms
      maxLayers
      strategy
      ;
  };

  allLayers = map (value: value.layer) (flattenLayers "buildImage" layers) ++ [ ownLayer ];

  description = {
    version = 3;
    name = imageName;
    tag = if tag == null then null else checkTag (typed "tag" "string" tag);
    architecture =
      if arch == null then architecture pkgs.stdenv.hostPlatform else typed "arch" "string" arch;
    os = "linux";
    created = typed "created" "string" created;
    config = imageConfig config;
    annotations = builtins.mapAttrs (key: typed "annotations.${key}" "string") (
      typed "annotations" "set" annotations
    );
    # nix2container takes the empty string for no base image.
    fromImage =
      if fromImage == null || fromImage == "" then
        null
      else
        storePath.exactly "buildImage: `fromImage`" fromImage;
    layers = allLayers;
    weights = describeWeights { inherit volatile weights; };
    plan = describePlan plan;
    nixDatabase =
      if typed "initializeNixDatabase" "bool" initializeNixDatabase then
        {
          uid = typed "nixUid" "int" nixUid;
          gid = typed "nixGid" "int" nixGid;
        }
      else
        null;
  };

  # Nix tells which store paths a text refers to only of a file in the store.
  configFile = pkgs.writeText "config.json" (builtins.toJSON description.config);

  # Without a tag it is the hash part of the store path, which has 32 characters.
  imageTag = if tag == null then builtins.substring 0 32 (baseNameOf image.outPath) else tag;

  image =
    pkgs.runCommandLocal "image-${baseNameOf imageName}.json"
      {
        inherit meta;
        __structuredAttrs = true;
        nativeBuildInputs = [ pkgs.buildPackages.jq ];
        exportReferencesGraph.closure = [
          configFile
        ]
        ++ builtins.concatMap (layer: layer.roots ++ layer.copyToRoot) allLayers;
        inherit configFile description;
        passthru = {
          inherit fromImage imageName imageTag;
          # A reference that can be read without building the image, and does not stand for it:
          # nothing that Nix builds may rely on it.
          imageRefUnsafe = builtins.unsafeDiscardStringContext "${imageName}:${imageTag}";
        }
        // deliver { inherit image imageName imageTag; };
      }
      # Not $NIX_ATTRS_JSON_FILE: in a sandbox, Nix 2.8 sets it to a file outside.
      ''
        jq --from-file ${./describe-image.jq} .attrs.json > "$out"
      '';
in
image

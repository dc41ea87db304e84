# buildLayer: some store paths with their closures, apart from the rest of the image.
#
# The result is a plain value, not a derivation: it means something only inside an image, and a
# long chain of layers costs nothing to build.
let
  describeLayer = import ./describe-layer.nix;
  flattenLayers = import ./flatten-layers.nix;
in
{
  # What `strategy` is when nobody says.
  defaults,
}:
{
  # Store paths (derivations, mostly) that the layer holds, with their closures.
  deps ? [ ],
  # Store paths whose files are put at `/`; one, or a list.
  copyToRoot ? null,
  # The deprecated name of `copyToRoot`.
  contents ? null,
  # Store paths to leave out; one, or a list.
  ignore ? null,
  # Layers below this one. What they hold is not repeated here.
  layers ? [ ],
  # Whether the files of `deps` are the same wherever they are built. The description records it.
  reproducible ? true,
  # Modes and owners that the store cannot hold:
  # { path = a store path; regex = ".*"; mode = "0664"; uid = 0; gid = 0; uname = ""; gname = ""; }
  perms ? [ ],
  # The most layers that the paths may be split into; below 1 there is no limit.
  maxLayers ? 1,
  # How they are split: `nixbridge doctor` lists the strategies.
  strategy ? defaults.strategy,
  # The layer's entry in the image's history: `created_by`, `author`, `comment`, `created`.
  metadata ? {
    created_by = "nixbridge";
  },
}:
let
  layer = describeLayer {
    caller = "buildLayer";
    inherit
      deps
      copyToRoot
      contents
      ignore
      reproducible
      perms
      maxLayers
      strategy
      metadata
      ;
  };
in
{
  _type = "nixbridge-layer";

  # What the image's description says of this layer.
  inherit layer;

  # Two layers with one content are one layer.
  key = builtins.hashString "sha256" (builtins.unsafeDiscardStringContext (builtins.toJSON layer));

  # The layers that must lie below, from bottom to top.
  below = flattenLayers "buildLayer" layers;
}

# From the `config` argument to the object that the image specification describes.
#
# Keys are taken in any case, as nix2container does, and spelled as the specification does:
# https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md#properties. What Docker adds
# (https://github.com/moby/docker-image-spec) is kept. Any other key is refused: an engine would
# ignore it without a word.
{ toLower }:
let
  nearMiss = import ./near-miss.nix;

  # Whatever becomes a string: paths and derivations are their store paths.
  isText = value: builtins.isString value || builtins.isPath value || value ? outPath;
  isSetOf = isMember: set: builtins.isAttrs set && builtins.all isMember (builtins.attrValues set);

  string = {
    words = "a string";
    holds = isText;
  };
  strings = {
    words = "a list of strings";
    holds = value: builtins.isList value && builtins.all isText value;
  };
  int = {
    words = "an integer";
    holds = builtins.isInt;
  };
  bool = {
    words = "true or false";
    holds = builtins.isBool;
  };
  labels = {
    words = "an attribute set of strings";
    holds = isSetOf isText;
  };
  # Go's map[string]struct{}: only the names count.
  names = {
    words = "an attribute set of empty attribute sets, like `{ \"8080/tcp\" = { }; }`";
    holds = isSetOf (value: value == { });
  };

  healthcheck = {
    Test = strings;
    Interval = int;
    Timeout = int;
    StartPeriod = int;
    StartInterval = int;
    Retries = int;
  };

  config = {
    User = string;
    ExposedPorts = names;
    Env = strings;
    Entrypoint = strings;
    Cmd = strings;
    Volumes = names;
    WorkingDir = string;
    Labels = labels;
    StopSignal = string;
    ArgsEscaped = bool;
    Memory = int;
    MemorySwap = int;
    CpuShares = int;
    Healthcheck = {
      words = "an attribute set";
      holds = builtins.isAttrs;
      convert = canonical "config.Healthcheck" healthcheck;
    };
    # Docker's own.
    AttachStderr = bool;
    AttachStdin = bool;
    AttachStdout = bool;
    Domainname = string;
    Hostname = string;
    Image = string;
    MacAddress = string;
    NetworkDisabled = bool;
    OnBuild = strings;
    OpenStdin = bool;
    Shell = strings;
    StdinOnce = bool;
    StopTimeout = int;
    Tty = bool;
  };

  # `set` with the spelling of `table`'s keys, each value checked. A null is a key not given.
  canonical =
    place: table: set:
    let
      spellings = builtins.listToAttrs (
        map (name: {
          name = toLower name;
          value = name;
        }) (builtins.attrNames table)
      );
      convert =
        key:
        let
          name =
            spellings.${toLower key}
            or (throw "buildImage: `${place}.${key}` is not a key${nearMiss (builtins.attrNames table) key}");
          value = set.${key};
          type = table.${name};
        in
        {
          inherit name;
          value =
            if value == null then
              null
            else if !type.holds value then
              throw "buildImage: `${place}.${key}` is not ${type.words}"
            else
              (type.convert or (value: value)) value;
        };
      given = builtins.attrNames set;
      all = builtins.listToAttrs (map convert given);
      isNull = name: all.${name} == null;
    in
    if !builtins.isAttrs set then
      throw "buildImage: `${place}` is ${builtins.typeOf set}, not an attribute set"
    else if builtins.length given != builtins.length (builtins.attrNames all) then
      throw "buildImage: `${place}` has a key in two spellings; given are ${builtins.concatStringsSep ", " given}"
    else
      removeAttrs all (builtins.filter isNull (builtins.attrNames all));
in
canonical "config" config

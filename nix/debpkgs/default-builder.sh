# What a derivation of mkDerivation runs.
#
# Structured attributes are found by their place in the build directory: in a sandbox, Nix 2.8 lets
# NIX_ATTRS_SH_FILE point outside.
if [ -e .attrs.sh ]; then . ./.attrs.sh; fi
. "$stdenv/setup"
genericBuild

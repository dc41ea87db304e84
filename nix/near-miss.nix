# From a word that is none of the known ones to the one that was meant, for the end of a message.
#
# Near is what differs in one stretch, and there in less than half of the word: what two words have
# in common at both ends is cut off, and what is left is counted. Case does not count.
known: word:
let
  letters = text: builtins.genList (at text) (builtins.stringLength text);
  toLower = builtins.replaceStrings (letters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (
    letters "abcdefghijklmnopqrstuvwxyz"
  );

  length = builtins.stringLength;
  at = text: i: builtins.substring i 1 text;
  fromEnd = text: i: at text (length text - 1 - i);
  min = a: b: if a < b then a else b;

  # How many of the first characters are equal, of those that `a` and `b` give by their place.
  common =
    limit: a: b:
    let
      count = n: if n < limit && a n == b n then count (n + 1) else n;
    in
    count 0;

  difference =
    candidate:
    let
      a = toLower candidate;
      b = toLower word;
      shorter = min (length a) (length b);
      start = common shorter (at a) (at b);
      end = common (shorter - start) (fromEnd a) (fromEnd b);
    in
    length a + length b - shorter - start - end;

  beginsWith =
    candidate:
    length candidate >= 3
    && toLower candidate == toLower (builtins.substring 0 (length candidate) word);

  near = builtins.filter (
    candidate: difference candidate * 2 < length candidate || beginsWith candidate
  ) known;
  nearer = best: candidate: if difference candidate < difference best then candidate else best;
in
if near == [ ] then
  "; known are ${builtins.concatStringsSep ", " known}"
else
  "; did you mean `${builtins.foldl' nearer (builtins.head near) near}`?"

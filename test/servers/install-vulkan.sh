#!/usr/bin/env bash
# A Vulkan driver in software for the tests of the GPU path: SwiftShader of Debian's chromium, and the loader that finds it.
# Idempotent; needs root or sudo where one of them is missing.
set -euo pipefail

driver=/usr/lib/chromium/vk_swiftshader_icd.json
if [ -e "$driver" ] && ldconfig -p | grep -q 'libvulkan\.so\.1'; then
  echo "vulkan: $driver is here"
  exit 0
fi

as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); fi
if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; }; then
  echo "vulkan: there is no $driver, and it cannot be installed here: 'apt-get install chromium libvulkan1' as root" >&2
  exit 1
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium libvulkan1 >/dev/null
[ -e "$driver" ] || {
  echo "vulkan: chromium is installed and brought no $driver" >&2
  exit 1
}
echo "vulkan: installed $driver"

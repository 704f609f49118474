/**
 * A Vulkan driver in software, so that the GPU path is tested where there is no GPU: SwiftShader, which Debian's chromium brings.
 * Where it is missing, tests skip with the reason; under CI that is a failure, because then nothing would be tested at all.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const DRIVERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome', '/usr/lib64/chromium-browser']
const DRIVER_FILE = 'vk_swiftshader_icd.json'
const LOADERS = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/lib64', '/usr/lib'].map(
  (dir) => join(dir, 'libvulkan.so.1'),
)

/** Environment for whoever is to find the driver; undefined where there is none. */
const vulkanEnv: Readonly<Record<string, string>> | undefined = findDriver()

/** For `it`'s and `describe`'s `skip`: false, or why there is no WebGPU here. */
export const skipWithoutWebGpu: string | false =
  vulkanEnv !== undefined || process.env.CI === 'true'
    ? false
    : 'no WebGPU here: it needs a Vulkan driver and loader (apt-get install chromium libvulkan1)'

/** The environment, in tests that are not skipped. @throws Error under CI without a driver */
export function requireVulkan(): Readonly<Record<string, string>> {
  if (vulkanEnv === undefined) throw new Error('CI must have a Vulkan driver in software: .ci/run installs it')
  return vulkanEnv
}

function findDriver(): Readonly<Record<string, string>> | undefined {
  const given = process.env.VK_ICD_FILENAMES ?? process.env.VK_DRIVER_FILES
  if (given !== undefined) return { VK_ICD_FILENAMES: given }
  const driver = DRIVERS.map((dir) => join(dir, DRIVER_FILE)).find((path) => existsSync(path))
  return driver !== undefined && LOADERS.some((path) => existsSync(path)) ? { VK_ICD_FILENAMES: driver } : undefined
}

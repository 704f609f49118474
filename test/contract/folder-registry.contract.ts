import { writeFile } from 'node:fs/promises'
import { systemClock } from '../../src/lib/clock.ts'
import { FolderRegistry } from '../../src/registry/folder-registry.ts'
import { InlineScanner } from '../support/inline-scanner.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { SourceFolder } from '../support/source-folder.ts'
import { registryContract } from './registry.contract.ts'

const POLL_MS = 5000

registryContract('folder', () => {
  const folder = new SourceFolder()
  const clock = new ManualClock({ wall: systemClock.wall() })
  const scanner = new InlineScanner(clock)
  const registry = new FolderRegistry({
    models: folder.path,
    pollMs: POLL_MS,
    settleMs: 0,
    defaults: { batching: 'auto', maxRows: 64, maxDelayMs: 0, intraOpThreads: 1 },
    clock,
    startScanner: scanner.start,
  })
  let isScanned = false
  return Promise.resolve({
    registry,
    publish: (name, version, content) => folder.writeVersion(name, version, content),
    retract: (name, version) => folder.remove(`${name}/${version}`),
    setAliases: (name, aliases) => writeFile(folder.at(`${name}/aliases.json`), JSON.stringify(aliases)),
    async refresh() {
      if (isScanned) await clock.advance(POLL_MS)
      else scanner.scan()
      isScanned = true
    },
    async dispose() {
      await registry.close()
      await folder[Symbol.asyncDispose]()
    },
  })
})

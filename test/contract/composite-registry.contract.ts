import { writeFile } from 'node:fs/promises'
import { CompositeRig } from '../support/composite-rig.ts'
import { registryContract } from './registry.contract.ts'

registryContract('composite', () => {
  const rig = new CompositeRig()
  let isScanned = false
  return Promise.resolve({
    registry: rig.registry,
    publish: (name, version, content) => rig.folderOf(name).writeVersion(name, version, content),
    retract: (name, version) => rig.folderOf(name).remove(`${name}/${version}`),
    setAliases: (name, aliases) => writeFile(rig.folderOf(name).at(`${name}/aliases.json`), JSON.stringify(aliases)),
    async refresh() {
      if (isScanned) return await rig.poll()
      isScanned = true
      rig.acme.scanner.scan()
      rig.others.scanner.scan()
    },
    dispose: () => rig[Symbol.asyncDispose](),
  })
})

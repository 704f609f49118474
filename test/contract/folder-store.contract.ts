import { modelKey } from '../../src/domain/model-version.ts'
import { SOURCE_BOUNDS, sourceIdOf } from '../../src/domain/source-identity.ts'
import { listTree } from '../../src/lib/file-tree.ts'
import { FolderStore } from '../../src/store/folder-store.ts'
import { modelVersion } from '../support/model-version.ts'
import { SourceFolder } from '../support/source-folder.ts'
import { storeContract } from './store.contract.ts'

storeContract('folder', () => {
  const folder = new SourceFolder()
  return Promise.resolve({
    store: new FolderStore({ models: folder.path, allowHardLinks: false, settleMs: 1000 }),
    async publish(name, version, files) {
      for (const [path, content] of Object.entries(files)) await folder.write(`${name}/${version}/${path}`, content)
      const sourceId = sourceIdOf((await listTree(folder.at(`${name}/${version}`), SOURCE_BOUNDS)).files)
      return { ...modelVersion(name, version, sourceId), key: modelKey(name, version, sourceId) }
    },
    retract: (name, version) => folder.remove(`${name}/${version}`),
    dispose: () => folder[Symbol.asyncDispose](),
  })
})

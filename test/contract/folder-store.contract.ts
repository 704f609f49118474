import { FolderStore } from '../../src/store/folder-store.ts'
import { publishedVersion } from '../support/published-version.ts'
import { SourceFolder } from '../support/source-folder.ts'
import { storeContract } from './store.contract.ts'

storeContract('folder', () => {
  const folder = new SourceFolder()
  return Promise.resolve({
    store: new FolderStore({ models: folder.path, allowHardLinks: false, settleMs: 1000 }),
    publish: (name, version, files) => publishedVersion(folder, name, version, files),
    retract: (name, version) => folder.remove(`${name}/${version}`),
    dispose: () => folder[Symbol.asyncDispose](),
  })
})

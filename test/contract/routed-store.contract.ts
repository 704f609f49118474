import { FolderStore } from '../../src/store/folder-store.ts'
import { RoutedStore } from '../../src/store/routed-store.ts'
import { publishedVersion } from '../support/published-version.ts'
import { SourceFolder } from '../support/source-folder.ts'
import { storeContract } from './store.contract.ts'

storeContract('routed', () => {
  const others = new SourceFolder()
  const acme = new SourceFolder()
  const folderOf = (name: string) => (name.startsWith('acme/') ? acme : others)
  const storeOf = ({ path }: SourceFolder) => new FolderStore({ models: path, allowHardLinks: false, settleMs: 1000 })
  return Promise.resolve({
    store: new RoutedStore([
      { prefix: '', store: storeOf(others) },
      { prefix: 'acme', store: storeOf(acme) },
    ]),
    publish: (name, version, files) => publishedVersion(folderOf(name), name, version, files),
    retract: (name, version) => folderOf(name).remove(`${name}/${version}`),
    async dispose() {
      await others[Symbol.asyncDispose]()
      await acme[Symbol.asyncDispose]()
    },
  })
})

/** Compiles the folders given as arguments after the cache folder, a line each when done: a process for tests to kill. */
import { basename } from 'node:path'
import { ArtifactStore } from '../../../src/artifact/artifact-store.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { artifactSource } from './source.ts'

const [, , cache = '', ...folders] = process.argv
const store = await ArtifactStore.open({ dir: cache, diskBytes: 2 ** 40, clock: systemClock })
for (const folder of folders) {
  await store.compile(artifactSource(folder, basename(folder)))
  process.stdout.write('done\n')
}
await store.close()

import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { processesIn } from '../../../loadtest/peers/processes-in.ts'
import { RayServe } from '../../../loadtest/peers/ray-serve.ts'

/** Stands in for the interpreter: notes where it runs, and leaves a daemon in a session of its own, as Ray's processes are. */
const DAEMON = `pwd -P > "$(dirname "$0")/where"
setsid sleep 600 &
`

describe('owner of a peer', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'modelmux-peer-'))
  after(() => rm(folder, { recursive: true, force: true }))

  async function start(script: string): Promise<RayServe> {
    const python = join(folder, 'python')
    await writeFile(python, `#!/bin/sh\n${script}`)
    await chmod(python, 0o755)
    return RayServe.start({ python, models: folder, replicas: 1, modelsPerReplica: 1 })
  }

  async function workFolder(): Promise<string> {
    return (await readFile(join(folder, 'where'), 'utf8')).trim()
  }

  it('leaves no process and no folder behind, daemons in other sessions included', async () => {
    const server = await start(`${DAEMON}echo "listening on http://127.0.0.1:9"\nexec sleep 600\n`)
    assert.deepEqual(server.target, { host: '127.0.0.1', port: 9 })
    const work = await workFolder()
    assert.equal(processesIn(work).length, 2)
    await server.stop()
    assert.deepEqual(processesIn(work), [])
    await assert.rejects(stat(work), { code: 'ENOENT' })
    await server.stop()
  })

  it('says why it did not start, and leaves nothing then either', async () => {
    await assert.rejects(start(`${DAEMON}echo "No module named ray" >&2\nexit 1\n`), /No module named ray/)
    assert.deepEqual(processesIn(await workFolder()), [])
    await assert.rejects(stat(await workFolder()), { code: 'ENOENT' })
  })
})

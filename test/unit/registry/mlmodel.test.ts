import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseExample } from '../../../src/registry/input-example.ts'
import { MlModelError, parseMlModel } from '../../../src/registry/mlmodel.ts'

const MAX_THREADS = 8

/** As MLflow 3 writes it. */
const LOGGED = `artifact_path: mlflow-artifacts:/0/models/m-1/artifacts
flavors:
  onnx:
    code: null
    data: model.onnx
    onnx_session_options:
      extra_session_config:
        session.custom_ops_library: /tmp/evil.so
      intra_op_num_threads: 4
    onnx_version: 1.23.2
    providers:
    - CUDAExecutionProvider
    - CPUExecutionProvider
  python_function:
    data: model.onnx
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.onnx
    python_version: 3.11.9
mlflow_version: 3.17.2
saved_input_example_info:
  artifact_path: input_example.json
  serving_input_path: serving_input_example.json
  type: ndarray
signature:
  inputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]'
  outputs: null
utc_time_created: '2026-01-01 00:00:00.000000'
`

describe('an MLmodel', () => {
  it('names the model file, the threads and the example, and nothing of it is executed or handed on', () => {
    assert.deepEqual(parseMlModel(LOGGED, MAX_THREADS), {
      modelFile: 'model.onnx',
      intraOpThreads: 4,
      exampleFile: 'serving_input_example.json',
    })
    assert.deepEqual(parseMlModel('flavors:\n  onnx: {}\n', MAX_THREADS), { modelFile: 'model.onnx' })
    assert.deepEqual(parseMlModel('flavors:\n  onnx: {data: sub/other.onnx, onnx_session_options: null}', 1), {
      modelFile: 'sub/other.onnx',
    })
  })

  it('gets no more threads than are allowed, and none that it has no right number of', () => {
    const asking = (threads: string) =>
      parseMlModel(`flavors:\n  onnx:\n    onnx_session_options: {intra_op_num_threads: ${threads}}\n`, MAX_THREADS)
    assert.equal(asking('500').intraOpThreads, MAX_THREADS)
    for (const wrong of ['0', '-1', 'many', '1.5']) assert.equal(asking(wrong).intraOpThreads, undefined)
  })

  it('of any other flavor is refused with the flavors that it has', () => {
    assert.throws(
      () => parseMlModel('flavors:\n  python_function:\n    loader_module: evil\n  sklearn: {}\n', MAX_THREADS),
      new MlModelError(
        "only models with MLflow's onnx flavor are served; it was saved as 'python_function', 'sklearn'",
      ),
    )
    assert.throws(() => parseMlModel('flavors: {}', MAX_THREADS), /it was saved in none/)
    const many = Array.from({ length: 50 }, (_, i) => `  f${i}: {}`).join('\n')
    assert.throws(() => parseMlModel(`flavors:\n${many}\n`, MAX_THREADS), /'f4' and 45 more$/)
  })

  it('is read in time however large it is, and refused where it would unfold', () => {
    const columns = `signature:\n  inputs: '${'x'.repeat(900_000)}'\n`
    assert.equal(parseMlModel(`${columns}${LOGGED}`, MAX_THREADS).modelFile, 'model.onnx')
    for (const text of [
      'flavors: &a {onnx: {data: x}}\nsaved_input_example_info: *a',
      'flavors:\n  onnx: !!python/object/apply:os.system [id]\n',
      'flavors:\n  onnx: {}\nflavors:\n  onnx: {}\n',
      'flavors:\n  onnx: {data: [\n',
      'flavors: [onnx]',
      'flavors:\n  onnx: {data: 5}',
      'no flavors',
      '',
      `flavors:\n  onnx: {data: ${'x'.repeat(40_000)}}`,
      'flavors:\n  __proto__: {onnx: {}}\n',
    ])
      assert.throws(() => parseMlModel(text, MAX_THREADS), MlModelError, text.slice(0, 60))
  })
})

describe('an input example of MLflow', () => {
  it('is read in the forms of all its versions', () => {
    const table = { columns: ['x'], data: [[1]] }
    assert.deepEqual(parseExample('{"inputs": [[1, 2]], "params": {"k": 1}}'), { inputs: [[1, 2]] })
    assert.deepEqual(parseExample(JSON.stringify({ dataframe_split: table })), { dataframe_split: table })
    assert.deepEqual(parseExample(JSON.stringify(table)), { dataframe_split: table })
    assert.deepEqual(parseExample('[[1, 2]]'), { inputs: [[1, 2]] })
    assert.deepEqual(parseExample('{"x": [1]}'), { inputs: { x: [1] } })
    for (const text of ['', 'null', '5', '{"inputs"']) assert.throws(() => parseExample(text), Error, text)
  })
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openError, runError } from '../../../src/engine/ort-errors.ts'

const RUNNING = "Non-zero status code returned while running Some node. Name:'g/Some_0' Status Message: "

/** Texts as ONNX Runtime 1.30 throws them, and what of each reaches the caller. */
const CALLERS: [string, string][] = [
  [
    'Got invalid dimensions for input: x for the following indices\n index: 1 Got: 65 Expected: 64\n Please fix either the inputs/outputs or the model.',
    'Got invalid dimensions for input: x for the following indices index: 1 Got: 65 Expected: 64 Please fix either the inputs/outputs or the model.',
  ],
  [
    `${RUNNING}indices element out of data bounds, idx=5 must be within the inclusive range [-3,2]`,
    'indices element out of data bounds, idx=5 must be within the inclusive range [-3,2]',
  ],
  [`${RUNNING}matmul_helper.h:59 Compute MatMul dimension mismatch`, 'MatMul dimension mismatch'],
  [
    `${RUNNING}/onnxruntime_src/onnxruntime/core/providers/cpu/tensor/gather_elements.cc:150 void onnxruntime::core_impl(const Tensor*, int64_t) [with Tin = long int; int64_t = long int] GatherElements op: Out of range value in index tensor\n`,
    'GatherElements op: Out of range value in index tensor',
  ],
  [
    `${RUNNING}Input channels C is not equal to kernel channels * group. C: 3 kernel channels: 4 group: 1`,
    'Input channels C is not equal to kernel channels * group. C: 3 kernel channels: 4 group: 1',
  ],
  [`${RUNNING}invalid expand shape`, 'invalid expand shape'],
  [`${RUNNING}element_wise_ops.cc:2256 operator() Integer modulo by zero`, 'Integer modulo by zero'],
  [`${RUNNING}delta in Range operator can not be zero!`, 'delta in Range operator can not be zero!'],
  [
    `${RUNNING}/onnxruntime_src/onnxruntime/core/common/safeint.h:17 static void SafeIntExceptionHandler<onnxruntime::OnnxRuntimeException>::SafeIntOnOverflow() Integer overflow`,
    'Integer overflow',
  ],
  [
    `${RUNNING}Tile output tensor would require more than 4294967296 bytes, which exceeds the supported maximum of 4294967296 bytes.`,
    'Tile output tensor would require more than 4294967296 bytes, which exceeds the supported maximum of 4294967296 bytes.',
  ],
]

describe('errors of the engine', () => {
  it("blame the caller for values and shapes that a kernel refuses, in the engine's own words without its source files", () => {
    for (const [text, reason] of CALLERS) {
      const cause = new Error(text)
      const error = runError(cause)
      assert.equal(error.code, 'BAD_INPUT_VALUE', text)
      assert.equal(error.message, `the model refuses the input: ${reason}`)
      assert.equal(error.cause, cause)
    }
  })

  it('never blame the caller when memory runs out', () => {
    for (const text of [
      `${RUNNING}std::bad_alloc`,
      `${RUNNING}Failed to allocate memory for requested buffer of invalid size`,
    ]) {
      assert.equal(runError(new Error(text)).code, 'INFERENCE_FAILED')
    }
  })

  it('keep other words out of the answer, naming the kind of node only', () => {
    const error = runError(new Error(`${RUNNING}/secret/path/blob is gone`))
    assert.equal(error.code, 'INFERENCE_FAILED')
    assert.equal(error.message, 'the engine failed on this request in a node of type Some; the log has its words')
    assert.equal(runError('odd').code, 'INFERENCE_FAILED')
  })

  it('tell an open that found no memory, mapping, descriptor or file from bytes that are no model', () => {
    for (const text of [
      'std::bad_alloc',
      'Failed to allocate memory for requested buffer of size 1024',
      'external_data_loader: mmap failed with Cannot allocate memory',
      'system error number 24: Too many open files',
      "Load model from /c/a.onnx failed:Load model /c/a.onnx failed. File doesn't exist",
      'External data path validation failed for initializer: w. External data path does not exist: "/c/blobs/aa"',
    ]) {
      const error = openError(new Error(text))
      assert.equal(error.code, 'MODEL_LOAD_FAILED', text)
      assert.doesNotMatch(error.message, /\/c/)
    }
  })

  it('keep paths out of what is said of a model that cannot be opened', () => {
    const cause = new Error('Load model from /secret/model.onnx failed:Protobuf parsing failed.')
    const error = openError(cause)
    assert.equal(error.code, 'ARTIFACT_INVALID')
    assert.doesNotMatch(error.message, /secret/)
    assert.equal(error.cause, cause)
  })
})

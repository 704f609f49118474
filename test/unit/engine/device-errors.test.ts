import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { DeviceTrouble } from '../../../src/engine/device-errors.ts'
import { deviceTrouble, deviceUnavailable, requestedBytes } from '../../../src/engine/device-errors.ts'

/** As they were reported for ONNX Runtime, or as the sources that print them have them. */
const WORDS: Readonly<Record<DeviceTrouble | 'none', readonly string[]>> = {
  memory: [
    "Non-zero status code returned while running Mul node. Name:'Mul_8702' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 2830172160",
    'BFCArena::AllocateRawInternal Available memory of 1048576 is smaller than requested bytes of 2830172160',
    'BFC Arena ran out of memory trying to allocate 1048576',
    'CUDA failure 2: out of memory ; GPU=0 ; hostname=a ; file=cuda_allocator.cc ; line=48 ; expr=cudaMalloc((void**)&p, size);',
    'CUDA out of memory',
    'CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; hostname=a ; expr=cublasCreate(&cublas_handle_);',
    'CUDNN failure 1: CUDNN_STATUS_NOT_INITIALIZED ; GPU=0 ; expr=cudnnCreate(&cudnn_handle_);',
    'CUDNN_STATUS_ALLOC_FAILED',
    'WebGPU device error(2): Out of memory',
    'vkAllocateMemory failed with VK_ERROR_OUT_OF_DEVICE_MEMORY at CheckVkOOMThenSuccessImpl',
    'cudaErrorMemoryAllocation',
  ],
  poisoned: [
    'CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=a ; expr=cudaStreamSynchronize(stream);',
    'CUDA failure 77: an illegal memory access was encountered ; GPU=0 ; expr=cudaEventDestroy(read_event_);',
    'CUDA failure 710: device-side assert triggered ; GPU=0',
    'CUDA failure 719: unspecified launch failure ; GPU=0',
    'misaligned address',
    'CUDA failure 702: the launch timed out and was terminated ; GPU=0',
    'NVRM: Xid (PCI:0000:65:00): 31, pid=123, MMU Fault',
    'CUDNN failure 8: CUDNN_STATUS_EXECUTION_FAILED ; GPU=0',
  ],
  limit: [
    "Non-zero status code returned while running Expand node. Name:'growing/Expand_0' Status Message: narrowing_error",
    'WebGPU validation failed. Buffer size (2147483648) exceeds the max buffer size limit (1073741824).\n - While calling [Device].CreateBuffer([BufferDescriptor]).',
  ],
  lost: [
    'WebGPU device lost (1): vkQueueSubmit failed with VK_ERROR_DEVICE_LOST',
    'the device was lost',
    'NVRM: Xid (PCI:0000:65:00): 79, GPU has fallen off the bus.',
    'CUDA failure 100: no CUDA-capable device is detected ; GPU=0',
    'CUDA failure 101: invalid device ordinal ; GPU=4',
    'CUDA failure 46: all CUDA-capable devices are busy or unavailable',
    // Names memory as well, but comes back for nobody.
    'Device lost: Out of memory',
  ],
  none: [
    'Got invalid dimensions for input: features for the following indices index: 1 Got: 3 Expected: 64',
    'indices element out of data bounds, idx=9 must be within the inclusive range [-3,2]',
    "Non-zero status code returned while running Reshape node. Name:'r' Status Message: the dimension is invalid",
    'Load model from /cache/a.onnx failed:Protobuf parsing failed.',
    'Could not find an implementation for Conv(11) node with name conv',
    'room for the bedroom',
  ],
}

describe('the words of a device in trouble', () => {
  for (const [trouble, texts] of Object.entries(WORDS)) {
    for (const text of texts) {
      it(`${trouble}: ${text.slice(0, 100)}`, () => {
        assert.equal(deviceTrouble(text) ?? 'none', trouble)
      })
    }
  }

  it('say how much was asked for, where they do', () => {
    assert.equal(requestedBytes(WORDS.memory[0] ?? ''), 2_830_172_160)
    assert.equal(requestedBytes(WORDS.memory[1] ?? ''), 2_830_172_160)
    assert.equal(requestedBytes(WORDS.memory[2] ?? ''), 1_048_576)
    assert.equal(requestedBytes('CUDA out of memory'), undefined)
    // Sizes that overflowed on their way are no sizes.
    assert.equal(requestedBytes('requested buffer of size 18446744073709551615'), undefined)
  })
})

describe('a device that cannot be used', () => {
  it('is named with the reason in one line and with what it needs, without places in the source', () => {
    const { message, code } = deviceUnavailable(
      'webgpu',
      new Error(
        '/onnxruntime_src/onnxruntime/core/providers/webgpu/webgpu_context.cc:136 onnxruntime::webgpu::WebGpuContext::Initialize(const onnxruntime::webgpu::WebGpuContextConfig&)::<lambda()> adapter_result.status == wgpu::RequestAdapterStatus::Success was false. Failed to get a WebGPU adapter: No supported adapters\n',
      ),
    )
    assert.equal(code, 'DEVICE_UNAVAILABLE')
    assert.equal(
      message,
      'webgpu cannot be used: Failed to get a WebGPU adapter: No supported adapters; it needs a Vulkan driver and its loader, libvulkan.so.1',
    )
  })

  it('is one too when the engine would take the CPU instead', () => {
    const thrown = new Error(
      'This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled by the user.',
    )
    assert.match(
      deviceUnavailable('cuda:0', thrown).message,
      /^cuda:0 cannot be used: the engine would run on the CPU instead; /,
    )
  })
})

/**
 * ONNX Runtime as tests that bypass the product import it. Its binding expects FP16 as Uint16Array, but takes Node 24's own Float16Array
 * where there is one and then fails with "expected 4, got 0": the global goes before the import, which is why that is not a static one.
 */
Reflect.deleteProperty(globalThis, 'Float16Array')

export const { InferenceSession: ortSessions, Tensor: OrtTensor } = await import('onnxruntime-node')

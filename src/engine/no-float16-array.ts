/**
 * Must be evaluated before onnxruntime-node is. Its binding wants FP16 as Uint16Array, but where JavaScript has a Float16Array of its
 * own (Node 24) it maps FP16 to that and then fails with "expected 4, got 0".
 */
export const isFloat16ArrayGone: boolean = Reflect.deleteProperty(globalThis, 'Float16Array')

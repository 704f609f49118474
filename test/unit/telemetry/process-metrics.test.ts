import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Metrics } from '../../../src/telemetry/metrics.ts'
import { observeProcess } from '../../../src/telemetry/process-metrics.ts'

it('tells what runs and how much memory it holds', async () => {
  const metrics = new Metrics({ onReadError: (error) => assert.fail(String(error)) })
  const stop = observeProcess(metrics, { version: '1.2.3', onnxruntime: '9.9', device: 'cpu' })
  const text = await metrics.render()
  stop()
  assert.match(
    text,
    /^modelmux_build_info\{version="1\.2\.3",onnxruntime="9\.9",device="cpu",node="v\d+\.\d+\.\d+"\} 1$/m,
  )
  const [, bytes] = /^modelmux_process_resident_bytes (\d+)$/m.exec(text) ?? []
  assert.ok(Number(bytes) > 10_000_000)
  await metrics.close()
})

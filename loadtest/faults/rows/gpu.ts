/** Rows 10, 11 and 14: what only a GPU can do. `npm run gpu-check` stages the first two where there is one. */
import { type FaultRow, NotRunnable } from '../fault.ts'

function needsGpu(row: Pick<FaultRow, 'number' | 'fault' | 'injected' | 'expected' | 'limitSeconds'>): FaultRow {
  const reason = 'needs a GPU with the CUDA provider: this run stages faults on the CPU only'
  return { ...row, run: () => Promise.reject(new NotRunnable(reason)) }
}

export const gpuRows: readonly FaultRow[] = [
  needsGpu({
    number: 10,
    fault: 'the device is out of memory during a load',
    injected: 'a model that does not fit beside the others',
    expected: 'the least is evicted, one retry, else 507',
    limitSeconds: 10,
  }),
  needsGpu({
    number: 11,
    fault: 'the device is out of memory during a run',
    injected: 'a batch that does not fit',
    expected: '507 for that request, the model stays',
    limitSeconds: 10,
  }),
  needsGpu({
    number: 14,
    fault: 'the device is in an error that sticks',
    injected: 'an assertion on the device',
    expected: 'the worker is replaced, its models open again',
    limitSeconds: 30,
  }),
]

/** An overview with a little of everything, as a server might tell it. */
import type { ModelOverview, Overview } from '../../src/telemetry/overview.ts'

const MODEL: ModelOverview = {
  name: 'customer-0001/churn',
  version: '1',
  state: 'ready',
  isPinned: false,
  requestsPerSecond: 120,
  requests: 1000,
  errors: 0,
  p50Ms: 0.8,
  p99Ms: 3.2,
  outcomes: { hit: 980, load: 15, compile: 5, wait: 0 },
  privateBytes: 200 * 1024,
  blobBytes: 8 * 2 ** 20,
  workers: ['worker-0', 'worker-1'],
  queued: 7,
}

const NOTHING = { hit: 0, load: 0, compile: 0, wait: 0 }

export function overviewOf(): Overview {
  return {
    server: {
      version: '1.2.3',
      replica: 'replica-1a2b3c4d',
      uptimeSeconds: 187.4,
      isDraining: false,
      requestsInFlight: 32,
    },
    traffic: {
      requestsPerSecond: 412,
      requests: 81_234,
      errors: 3,
      p50Ms: 2.1,
      p99Ms: 18,
      outcomes: MODEL.outcomes,
      recentHitRatio: 0.992,
    },
    models: {
      registered: 1000,
      resident: 312,
      hottest: [
        MODEL,
        {
          ...MODEL,
          name: 'customer-0002/churn',
          version: '3',
          requestsPerSecond: 40,
          state: 'compiling',
          isPinned: true,
        },
        {
          ...MODEL,
          name: 'broken/model',
          requestsPerSecond: 0.2,
          state: 'failed',
          p50Ms: null,
          p99Ms: null,
          errors: 4,
          outcomes: NOTHING,
          workers: [],
        },
      ],
    },
    workers: [
      {
        id: 'worker-0',
        pid: 4001,
        isUp: true,
        busyCores: 0.92,
        privateBytes: 120 * 2 ** 20,
        sessions: 300,
        mappings: 1220,
        mappingLimit: 52_000,
        restarts: 0,
        majorFaultsPerSecond: 0,
      },
      {
        id: 'worker-1',
        pid: 0,
        isUp: false,
        busyCores: null,
        privateBytes: 0,
        sessions: 0,
        mappings: 0,
        mappingLimit: 52_000,
        restarts: 1,
        majorFaultsPerSecond: 12,
      },
    ],
    ledger: {
      budgetBytes: 4 * 2 ** 30,
      usedBytes: 1276 * 2 ** 20,
      bytesByKind: { private: 400 * 2 ** 20, blobs: 876 * 2 ** 20, activations: 0, reserved: 0, leaving: 0 },
    },
    queue: { requests: 12, bytes: 1_258_291, loads: 3 },
    compilers: [
      { lane: 'small', running: 1, waiting: 4 },
      { lane: 'big', running: 0, waiting: 0 },
    ],
    events: [
      {
        seq: 1,
        at: '2026-11-24T02:11:04.123Z',
        level: 'info',
        event: 'model.evicted',
        fields: { key: 'customer-0042/churn:1#0123456789abcdef', reason: 'memory', idleMs: 1200 },
      },
      {
        seq: 2,
        at: '2026-11-24T02:11:05.123Z',
        level: 'warn',
        event: 'worker.down',
        fields: { worker: 'worker-1', signal: 'SIGKILL' },
      },
    ],
  }
}

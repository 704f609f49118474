/** An MlflowRegistry over a scripted MLflow and a clock that the test moves, with everything that it told. */
import assert from 'node:assert/strict'
import { GatewayError } from '../../src/domain/errors.ts'
import type { ModelRef } from '../../src/domain/model-ref.ts'
import { MlflowRegistry } from '../../src/registry/mlflow-registry.ts'
import type { RegistryChange } from '../../src/registry/registry.ts'
import { RegistrySnapshot } from '../../src/registry/registry-snapshot.ts'
import { until } from './eventually.ts'
import { ManualClock } from './manual-clock.ts'
import { ScriptedMlflow } from './scripted-mlflow.ts'

export interface MlflowRigOptions {
  readonly mlflow?: ScriptedMlflow
  readonly origin?: string
  readonly defaultAlias?: string | null
  readonly maxRows?: number
  /** Where to keep what is known. */
  readonly snapshot?: string
}

export class MlflowRegistryRig {
  readonly pollMs = 30_000
  readonly clock = new ManualClock({ wall: 1_700_000_000_000 })
  readonly mlflow: ScriptedMlflow
  readonly registry: MlflowRegistry
  readonly changes: RegistryChange[] = []
  readonly events: Array<readonly [name: string, fields: Readonly<Record<string, unknown>>]> = []

  constructor({
    mlflow = new ScriptedMlflow(),
    origin = 'http://mlflow',
    defaultAlias = 'champion',
    maxRows = 64,
    snapshot,
  }: MlflowRigOptions = {}) {
    this.mlflow = mlflow
    const { clock, pollMs } = this
    this.registry = new MlflowRegistry({
      reads: mlflow,
      place: origin,
      origin,
      defaultAlias,
      pollMs,
      defaults: { batching: 'auto', maxRows, maxDelayMs: 0, intraOpThreads: 1 },
      ...(snapshot === undefined ? {} : { snapshot: new RegistrySnapshot({ path: snapshot, origin, clock }) }),
      clock,
      random: () => 0,
      onEvent: (name, fields) => this.events.push([name, fields]),
    })
    this.registry.onChange((change) => this.changes.push(change))
  }

  /** Starts the registry, and gives it back once its first sweep ended. */
  async started(): Promise<MlflowRegistry> {
    await this.registry.start()
    await this.sweep()
    return this.registry
  }

  /** Resolves when a sweep ended that began after the call; the first is the one of the start. */
  async sweep(): Promise<void> {
    if (this.registry.lastScanMs !== undefined) {
      await this.rest()
      await this.clock.advance(this.pollMs)
    }
    await until('a sweep has ended', () => this.registry.ageMs === 0)
    await this.turn()
  }

  /** Resolves when no sweep is under way. */
  rest(): Promise<void> {
    return until('the last sweep is over', () => this.clock.pendingTimers > 0)
  }

  /** Resolves when the name was looked for, if it had to be. */
  async looked(name: string): Promise<void> {
    await until('the name was looked for', () => this.codeOf({ name }) !== 'MODEL_LOADING')
  }

  /** What `resolve` answers: a version, or the code of the refusal. */
  codeOf(ref: ModelRef): string {
    try {
      return this.registry.resolve(ref).version
    } catch (error) {
      assert.ok(error instanceof GatewayError)
      return error.code
    }
  }

  told(event: string): Array<Readonly<Record<string, unknown>>> {
    return this.events.filter(([name]) => name === event).map(([, fields]) => fields)
  }

  private async turn(): Promise<void> {
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
  }
}

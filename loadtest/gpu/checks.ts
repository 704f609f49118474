/**
 * What is asked of a device: the CPU's answers, loads and evictions that keep to the ledger, a memory that runs out without harm, and
 * nothing kept over many loads. Each check has servers of its own and leaves nothing behind.
 */

import { largestDeviation, Rng } from '../models/index.ts'
import { growing, HALF_FAMILY, SMALL_FAMILIES, type SmallFamily } from '../models/special/index.ts'
import { int64Tensor } from '../models/tensor.ts'
import { formatNumber } from '../report/format.ts'
import { addModel, type CheckRow, type Rig, type RigServer, withServer } from './rig.ts'

const MIB = 2 ** 20
/** Devices round otherwise than the CPU does, and some multiply in 19 bits. */
const TOLERANCE = 0.02
/** Room for one small model, whose activations are taken to need 4 MiB. */
const TIGHT_BYTES = 6 * MIB
const ROUNDS = 3
/** As in the rule that long-running inference servers hold themselves to: measured from the middle on, when caches are full. */
const HOST_GROWTH_BYTES = 100 * MIB
const DEVICE_GROWTH_BYTES = 64 * MIB
/** FP32 elements of a tensor that no device has room for: 1 TiB. */
const ABSURD = 2n ** 38n

export type Check = (rig: Rig) => Promise<readonly CheckRow[]>

export const CHECKS: readonly Check[] = [correctness, loadAndEvict, budget, outOfMemory, leak]

async function correctness(rig: Rig): Promise<CheckRow[]> {
  const families = [...SMALL_FAMILIES, HALF_FAMILY]
  for (const { name, build } of families) await addModel(rig, name, build(1))
  const inputs = new Map(families.map((family) => [family.name, family.inputs(new Rng('gpu check', family.name), 3)]))
  const answersOn = (device: string) =>
    withServer(rig, device, {}, async (server) => {
      const answers = new Map<string, readonly number[] | string>()
      for (const { name } of families) {
        rig.progress(`${name} on ${device}`)
        const given = inputs.get(name) ?? []
        answers.set(name, await server.infer(name, given).then(({ outputs }) => outputs[0]?.values ?? [], String))
      }
      return answers
    })
  const [expected, actual] = [await answersOn('cpu'), await answersOn(rig.device)]
  return families.map(({ name }) => {
    const [want, got] = [expected.get(name), actual.get(name)]
    const check = `answers of ${name}`
    const wanted = `the CPU's within ${TOLERANCE}`
    if (typeof got === 'string' && name === HALF_FAMILY.name && got.includes('f16'))
      return { check, measured: 'the device has no FP16, and the model is refused', wanted, passed: undefined }
    if (typeof want !== 'object' || typeof got !== 'object')
      return { check, measured: String(typeof got === 'string' ? got : want).slice(0, 200), wanted, passed: false }
    const deviation = largestDeviation(got, want)
    return { check, measured: `off by ${formatNumber(deviation)}`, wanted, passed: deviation <= TOLERANCE }
  })
}

async function loadAndEvict(rig: Rig): Promise<CheckRow[]> {
  const families = SMALL_FAMILIES.slice(0, 2)
  return await withServer(rig, rig.device, { device: { memoryBytes: TIGHT_BYTES } }, async (server) => {
    const loadMs: number[] = []
    let highest = 0
    for (let round = 0; round < ROUNDS; round++) {
      for (const family of families) {
        rig.progress(`load and evict, round ${round + 1}`)
        const { ms } = await ask(server, family, round)
        loadMs.push(ms)
        highest = Math.max(highest, await server.metric('modelmux_device_bytes', { kind: 'open' }))
      }
    }
    const evictions = await server.metric('modelmux_evictions_total', { reason: 'device' })
    const wanted = families.length * ROUNDS - 1
    return [
      row('sessions closed for room', `${evictions}`, `${wanted} or more`, evictions >= wanted),
      row('charged to the device at most', mebi(highest), `the budget, ${mebi(TIGHT_BYTES)}`, highest <= TIGHT_BYTES),
      row(
        'first answer of a model that was closed',
        `${formatNumber(Math.max(...loadMs.slice(2)))} ms at most`,
        'an answer',
        true,
      ),
    ]
  })
}

async function budget(rig: Rig): Promise<CheckRow[]> {
  const [family] = SMALL_FAMILIES
  return await withServer(rig, rig.device, { device: { memoryBytes: MIB } }, async (server) => {
    const { status, code } = await server.tryInfer(family?.name ?? '', family?.inputs(new Rng(1), 1) ?? [])
    const passed = status === 507 && code === 'MODEL_TOO_LARGE'
    return [row('a model larger than the whole budget', `${status} ${code}`, '507 MODEL_TOO_LARGE', passed)]
  })
}

async function outOfMemory(rig: Rig): Promise<CheckRow[]> {
  const [family] = SMALL_FAMILIES
  if (family === undefined) return []
  await addModel(rig, 'growing', growing())
  return await withServer(rig, rig.device, {}, async (server) => {
    await ask(server, family, 0)
    rig.progress('a tensor that the device has no room for')
    const { status, code } = await server.tryInfer('growing', [int64Tensor('count', [1], BigInt64Array.of(ABSURD))])
    const restarts = await server.metric('modelmux_worker_restarts_total')
    const after = await ask(server, family, 1)
    return [
      row('1 TiB asked of the device', `${status} ${code}`, '507', status === 507),
      row('worker processes lost by it', `${restarts}`, 'none', restarts === 0),
      row(
        'another model afterwards',
        `${after.cache} in ${formatNumber(after.ms)} ms`,
        'answers from memory',
        after.cache === 'hit',
      ),
    ]
  })
}

async function leak(rig: Rig): Promise<CheckRow[]> {
  const [family] = SMALL_FAMILIES
  if (family === undefined) return []
  return await withServer(rig, rig.device, { artifact: { probe: false, checkMs: 300_000 } }, async (server) => {
    const host: number[] = []
    const device: number[] = []
    for (let cycle = 0; cycle < rig.cycles; cycle++) {
      rig.progress(`load, run, release: ${cycle + 1} of ${rig.cycles}`)
      await ask(server, family, cycle)
      await server.unload(family.name)
      host.push(await server.metric('modelmux_worker_private_bytes'))
      device.push(await server.metric('modelmux_device_bytes', { kind: 'used' }))
    }
    const isTold = device.some((bytes) => bytes > 0)
    const left = await server.metric('modelmux_device_bytes', { kind: 'open' })
    return [
      growthRow('host memory of the worker', host, HOST_GROWTH_BYTES),
      isTold
        ? growthRow('memory of the device', device, DEVICE_GROWTH_BYTES)
        : row('memory of the device', 'no driver tells', `grows by ${mebi(DEVICE_GROWTH_BYTES)} at most`, undefined),
      row('charged to the device when all is unloaded', mebi(left), 'nothing', left === 0),
    ]
  })
}

async function ask(server: RigServer, family: SmallFamily, seed: number) {
  return await server.infer(family.name, family.inputs(new Rng('gpu check', seed), 1))
}

/** From the middle of the cycles to their end. */
function growthRow(what: string, bytes: readonly number[], limit: number): CheckRow {
  const half = Math.floor(bytes.length / 2)
  const grown = (bytes.at(-1) ?? 0) - (bytes[half] ?? 0)
  const each = grown / Math.max(1, bytes.length - 1 - half)
  const measured = `${mebi(grown)}, ${formatNumber(each / 1024)} KiB a cycle, ${bytes.length} cycles`
  return row(`${what}, from the middle on`, measured, `grows by ${mebi(limit)} at most`, grown <= limit)
}

function row(check: string, measured: string, wanted: string, passed: boolean | undefined): CheckRow {
  return { check, measured, wanted, passed }
}

function mebi(bytes: number): string {
  return `${formatNumber(bytes / MIB)} MiB`
}

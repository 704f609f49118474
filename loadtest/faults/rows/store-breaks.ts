/** Rows 17 and 18: S3 falls silent, or dies, in the middle of a fetch. */
import { EngineAnswers } from '../../bench/engine-answers.ts'
import { EngineProcess } from '../../bench/engine-process.ts'
import { HttpProbe } from '../../bench/http-probe.ts'
import { modelsFolder } from '../../bench/running-server.ts'
import { S3Process } from '../../bench/s3-process.ts'
import { setS3Scene } from '../../bench/s3-scene.ts'
import { answerProblem } from '../../generator/infer-answer.ts'
import { inferBody } from '../../generator/infer-request.ts'
import { modelClass, Rng } from '../../models/index.ts'
import { Expectations, type FaultRow, NotRunnable } from '../fault.ts'
import { type FaultStage, nameIn } from '../stage.ts'

interface Break {
  readonly brokenMs: number
  begin(s3: S3Process): Promise<void> | void
  end(s3: S3Process): Promise<void> | void
}

const SEED = 17
const BIG = nameIn('big', 1)
const WARM = nameIn('steady', 1)
/** Each way: the fetch lasts long enough to be broken off. */
const DELAY_MS = 20
/** Reads that a fetch has under way at a time. */
const UNDER_WAY = 8
const ASK_EVERY_MS = 100
const FETCH_LIMIT_SECONDS = 30

export const storeFallsSilent: FaultRow = {
  number: 17,
  fault: 'S3 falls silent in the middle of a body',
  injected: 'SIGSTOP of the S3 server for 12 s while it sends 102 MB',
  expected: 'reads are given up after 10 s and begun again at their byte; warm models notice nothing',
  limitSeconds: 20,
  run: (stage) => breakOff(stage, { brokenMs: 12_000, begin: (s3) => s3.freeze(), end: (s3) => s3.thaw() }),
}

export const storeDies: FaultRow = {
  number: 18,
  fault: 'connections to S3 are reset in the middle of a body',
  injected: 'SIGKILL of the S3 server while it sends 102 MB, and a new one after 1 s',
  expected: 'the fetch goes on at its bytes; warm models notice nothing',
  limitSeconds: 20,
  run: (stage) => breakOff(stage, { brokenMs: 1000, begin: (s3) => s3.stop(), end: (s3) => s3.restart() }),
}

async function breakOff(stage: FaultStage, how: Break): ReturnType<FaultRow['run']> {
  if (!S3Process.isHere()) throw new NotRunnable('there is no S3 server here: test/servers/install-s3.sh builds one')
  const expect = new Expectations()
  const steady = await stage.writeSteady(1)
  await stage.writeGroup({ className: 'R', family: 'full', seed: SEED, customers: 1, prefix: 'big', model: 'm' })
  const stack = new AsyncDisposableStack()
  stage.afterwards(() => stack.disposeAsync())
  const { folder, signal, clock } = stage
  const { s3, line, server, probe } = await setS3Scene({ folder, names: [WARM, BIG], delayMs: DELAY_MS, signal }, stack)
  const patient = new HttpProbe(server.target)
  stack.defer(() => patient.close())

  const xs = modelClass('XS')
  const inputs = xs.sampleInputs(new Rng('store breaks'), 1)
  const wanted = xs.expected({ customer: 1, family: steady.family, seed: steady.seed }, inputs)
  const askWarm = async (): Promise<void> => {
    const { cache, outputs } = await probe.infer(WARM, inferBody(inputs, 'binary'))
    const problem = answerProblem(outputs, wanted, xs.tolerance)
    expect.that(problem === undefined, `a warm model answered wrong: ${problem}`)
    if (isWarm) expect.equal('cache of a warm model', cache, 'hit')
  }
  let isWarm = false
  await askWarm()
  isWarm = true

  const asked = patient.infer(BIG, stage.body('R'))
  asked.catch(() => undefined)
  const reads = async (): Promise<string[]> =>
    (await line.calls()).flatMap(({ path, range }) => (path.includes(BIG) && range !== undefined ? [range] : []))
  await stage.secondsUntil('the fetch', FETCH_LIMIT_SECONDS, async () => (await reads()).length >= UNDER_WAY)
  await how.begin(s3)
  const brokenAt = clock.now()
  let answers = 0
  for (; clock.now() - brokenAt < how.brokenMs; answers += 1) {
    await askWarm()
    await stage.pause(ASK_EVERY_MS)
  }
  const before = (await reads()).length
  await how.end(s3)
  const mendedAt = clock.now()
  const { outputs } = await asked
  const seconds = (clock.now() - mendedAt) / 1000
  const engine = new EngineProcess()
  stack.defer(() => engine.close())
  const big = modelClass('R')
  const said = new EngineAnswers(engine, modelsFolder(folder))
  const problem = await said.problem(BIG, big, stage.inputs('R'), outputs)
  expect.that(problem === undefined, `wrong answer: ${problem}`)
  const all = await reads()
  const measured = `until the first answer of the model; ${answers} answers of a warm one meanwhile; ${all.length} reads, ${all.length - before} of them afterwards`
  return { seconds, measured, problems: expect.problems }
}
